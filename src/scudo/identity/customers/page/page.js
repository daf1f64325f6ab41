// Signs up, adds passkeys and logs in, by the bank's own API. The key of this browser stays in
// it: it cannot be read out, and every request is proven by it (DPoP, RFC 9449).

const encoder = new TextEncoder();
const element = (id) => document.getElementById(id);
const key = await crypto.subtle.generateKey(
  { name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", key.publicKey);
let tokens = null;
let nonce;
let sent = null;

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const json = (value) => base64url(encoder.encode(JSON.stringify(value)));

async function proof(method, path) {
  const claims = {
    jti: crypto.randomUUID(), htm: method, htu: location.origin + path,
    iat: Math.floor(Date.now() / 1000), nonce,
  };
  if (tokens) {
    const hash = await crypto.subtle.digest("SHA-256", encoder.encode(tokens.access_token));
    claims.ath = base64url(hash);
  }
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
  const signed = `${json(header)}.${json(claims)}`;
  const signature = await crypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-256" }, key.privateKey, encoder.encode(signed));
  return `${signed}.${base64url(signature)}`;
}

async function ask(method, path, body, again = true) {
  const headers = { dpop: await proof(method, path) };
  if (tokens) headers.authorization = `DPoP ${tokens.access_token}`;
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (answer.status === 401 && answer.headers.has("dpop-nonce") && again) {
    nonce = answer.headers.get("dpop-nonce");
    return ask(method, path, body, false);
  }
  const told = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(`${told.detail}. ${told.next_step}`);
  return told;
}

async function show() {
  element("entering").hidden = Boolean(tokens);
  element("inside").hidden = !tokens;
  if (!tokens) {
    for (const id of ["customer", "assurance", "passkeys"]) element(id).textContent = "";
    return;
  }
  const me = await ask("GET", "/v1/me");
  element("customer").textContent = me.customer_id;
  element("assurance").textContent = { mail: "by a mailed code", passkey: "by a passkey" }[me.assurance]
    ?? me.assurance;
  element("passkeys").textContent = String(me.passkeys.length);
}

const acts = {
  async signUp() {
    const email = element("email").value;
    sent = { email, ...(await ask("POST", "/v1/sign-ups", { email })) };
    element("activate").hidden = false;
    element("code").focus();
    return "A code is on its way to you. It is good for ten minutes.";
  },
  async activate() {
    const body = { email: sent.email, code: element("code").value };
    tokens = await ask("POST", `/v1/sign-ups/${sent.code_id}/activation`, body);
    element("sign-up").reset();
    element("activate").reset();
    element("activate").hidden = true;
    return "Your account is open. Add a passkey to log in next time.";
  },
  async add() {
    const asked = await ask("POST", "/v1/passkeys/challenges");
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(asked.public_key);
    const credential = await navigator.credentials.create({ publicKey });
    const body = { challenge_id: asked.challenge_id, credential: credential.toJSON() };
    await ask("POST", "/v1/passkeys", body);
    return "The passkey was added.";
  },
  async logIn() {
    const asked = await ask("POST", "/v1/log-ins/challenges");
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(asked.public_key);
    const credential = await navigator.credentials.get({ publicKey });
    const body = { challenge_id: asked.challenge_id, credential: credential.toJSON() };
    tokens = await ask("POST", "/v1/log-ins/passkey", body);
    return "You are logged in.";
  },
  async leave() {
    await ask("DELETE", "/v1/sessions");
    tokens = null;
    return "You are logged out everywhere.";
  },
};

async function run(act, button) {
  button.disabled = true;
  try {
    const told = await act();
    await show();
    element("status").textContent = told;
  } catch (error) {
    element("status").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

for (const [id, act] of [["sign-up", acts.signUp], ["activate", acts.activate]]) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    run(act, event.submitter);
  });
}
for (const [id, act] of [["log-in", acts.logIn], ["add", acts.add], ["leave", acts.leave]]) {
  element(id).addEventListener("click", (event) => run(act, event.currentTarget));
}
document.documentElement.dataset.ready = "yes";
