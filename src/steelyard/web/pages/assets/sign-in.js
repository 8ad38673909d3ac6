// Signing in: password first, then the one-time code, in one form.

import { language, t } from "./texts.js";

const HINT = "steelyard_signed_in";
const form = document.getElementById("sign-in");
const refused = document.getElementById("refused");

class Refused extends Error {}

async function ask(path, body, extra = {}) {
  let answer;
  try {
    answer = await fetch(`/v1/access/${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "Accept-Language": language,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...extra,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(t("no_connection"));
  }
  const told = await answer.json();
  if (!answer.ok) throw new Refused(told.title);
  return told;
}

function say(text, place) {
  refused.hidden = !text;
  refused.textContent = text;
  for (const input of form.querySelectorAll("input")) {
    input.setAttribute("aria-invalid", String(place === input.name));
  }
  if (place) form.elements[place].focus();
}

async function signIn({ name, password, code }) {
  const first = await ask("sign-in/password", {
    user_name: name.value.trim(), password: password.value, deliver: "cookie",
  });
  if (first.session) return;
  const digits = code.value.replace(/\s/g, "");
  if (!digits) throw Object.assign(new Refused(t("code_needed")), { place: "code" });
  await ask("sign-in/code", { pending: first.pending, code: digits, deliver: "cookie" });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password, code } = form.elements;
  if (!name.value.trim() || !password.value) {
    say(t("fill_in"), name.value.trim() ? "password" : "name");
    return;
  }
  const button = form.querySelector("button");
  const label = button.textContent;
  button.disabled = true;
  button.textContent = t("signing_in");
  try {
    await signIn({ name, password, code });
    localStorage.setItem(HINT, "yes");
    const to = new URLSearchParams(location.search).get("to");
    if (to?.startsWith("/") && !to.startsWith("//") && !to.startsWith("/\\")) location.assign(to);
    else await welcome();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(error.message, error.place);
  } finally {
    code.value = "";
    button.disabled = false;
    button.textContent = label;
  }
});

document.getElementById("sign-out").addEventListener("click", async () => {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  try {
    await ask("sign-out", {}, { "Idempotency-Key": key, "X-Steelyard-CSRF": "1" });
  } finally {
    localStorage.removeItem(HINT);
    location.reload();
  }
});

async function welcome() {
  const me = await ask("me");
  form.hidden = true;
  document.getElementById("signed-in-as").textContent = t("signed_in_as", {
    who: me.user_name ?? me.actor,
  });
  document.getElementById("signed-in").hidden = false;
}

// The session is a cookie that scripts cannot read: a hint says whether it is worth asking.
if (localStorage.getItem(HINT)) {
  welcome().catch(() => localStorage.removeItem(HINT));
}
