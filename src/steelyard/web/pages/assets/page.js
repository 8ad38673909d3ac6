// What every page does: the language switch, the mark of the present page, copy buttons.

import { t } from "./texts.js";

const YEAR_S = 31_536_000;

for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie =
      `steelyard_language=${button.dataset.language}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
    location.reload();
  });
}

const page = [...document.body.classList].find((name) => name.startsWith("page-"))?.slice(5);
const here = page === "problem" ? "problems" : page;
document.querySelector(`[data-nav="${here}"]`)?.setAttribute("aria-current", "page");

async function put(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Plain http from another machine has no clipboard object.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("copy");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  const text = button.dataset.copy || button.parentElement.querySelector("code").textContent;
  try {
    await put(text);
    button.textContent = t("copied");
  } catch {
    button.textContent = t("copy_failed");
  }
  setTimeout(() => (button.textContent = before), 1600);
});
