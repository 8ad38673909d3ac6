// The API's pages: Swagger UI over our own schema, from our own origin.

import { language } from "./texts.js";

const WRITES = new Set(["POST", "PUT", "PATCH", "DELETE"]);

const fresh = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// A key that the reader typed stays: sending it twice shows the replay.
function prepare(request) {
  const names = Object.keys(request.headers).map((name) => name.toLowerCase());
  if (WRITES.has((request.method ?? "GET").toUpperCase()) && !names.includes("idempotency-key")) {
    request.headers["Idempotency-Key"] = fresh();
  }
  // A session in the browser writes only with this mark, which no other site can send.
  request.headers["X-Steelyard-CSRF"] = "1";
  request.headers["Accept-Language"] = language;
  return request;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", shade);
shade();

function start() {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    filter: true,
    persistAuthorization: true,
    requestInterceptor: prepare,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}

if (window.SwaggerUIBundle) start();
else addEventListener("load", start);
