"use strict";
// The token stands behind the #, which no browser sends. It is posted once, and the address is replaced.
const token = location.hash.slice(1);
history.replaceState(null, "", "/enter");
fetch("/enter", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) })
  .then((reply) => reply.json().then((body) => ({ ok: reply.ok, body })))
  .then(({ ok, body }) => {
    if (ok) location.replace(body.to);
    else document.getElementById("status").textContent = body.error;
  })
  .catch(() => { document.getElementById("status").textContent = "The server doesn't answer. Reload this page later."; });
