// Signs up, adds passkeys, logs in and pays, by the bank's own API. The key of this browser stays
// in it: it cannot be read out, and every request is proven by it (DPoP, RFC 9449).

const TRIES = 3;
const encoder = new TextEncoder();
const element = (id) => document.getElementById(id);
const key = await crypto.subtle.generateKey(
  { name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", key.publicKey);
let tokens = null;
let nonce;
let sent = null;
// What was ordered and not answered yet: sent again it is the same order, not a second one.
let order = { text: null, key: null };
let waiting = null;

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const json = (value) => base64url(encoder.encode(JSON.stringify(value)));

async function proof(method, path) {
  const claims = {
    jti: crypto.randomUUID(), htm: method, htu: location.origin + path.split("?")[0],
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

async function send(method, path, body, orderKey) {
  const headers = { dpop: await proof(method, path) };
  if (tokens) headers.authorization = `DPoP ${tokens.access_token}`;
  if (body) headers["content-type"] = "application/json";
  if (orderKey) headers["idempotency-key"] = orderKey;
  return fetch(path, { method, headers, body: body && JSON.stringify(body) });
}

// An access token lives for minutes; the refresh token is good once, for the next pair.
async function renew() {
  const { refresh_token } = tokens;
  tokens = null;
  tokens = await ask("POST", "/v1/tokens/refresh", { refresh_token });
}

async function ask(method, path, body, orderKey) {
  let answer;
  for (let tried = 0; tried < TRIES; tried += 1) {
    answer = await send(method, path, body, orderKey);
    if (answer.status !== 401) break;
    const fresh = answer.headers.get("dpop-nonce");
    if (fresh) nonce = fresh;
    else if (tokens) await renew();
    else break;
  }
  const told = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(`${told.detail}. ${told.next_step}`);
  return told;
}

// ---- amounts, as people write them and as the bank counts them: as text, never as a fraction

const digits = (currency) =>
  new Intl.NumberFormat("en", { style: "currency", currency })
    .resolvedOptions().maximumFractionDigits;

// 100050 and EUR give "1000.50".
function decimal(amount, currency) {
  const places = digits(currency);
  const text = String(amount).padStart(places + 1, "0");
  return places ? `${text.slice(0, -places)}.${text.slice(-places)}` : text;
}

// 100050 and EUR give "1,000.50 EUR".
function shown(amount, currency) {
  const [whole, part] = decimal(Math.abs(amount), currency).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${amount < 0 ? "-" : ""}${grouped}${part ? `.${part}` : ""} ${currency}`;
}

// "1000.5" and EUR give 100050.
function minor(text, currency) {
  const places = digits(currency);
  const [whole, part = ""] = text.trim().split(".");
  if (!/^\d{1,12}$/.test(whole) || !/^\d*$/.test(part) || part.length > places) {
    throw new Error(`${currency} has ${places} digits after the point. Write the amount like 12.50.`);
  }
  return Number(whole + part.padEnd(places, "0"));
}

const NAMES = { mail: "by a mailed code", passkey: "by a passkey" };
const STATES = {
  challenged: "waits for you", held: "is being looked at", settled: "paid", declined: "declined",
  blocked: "stopped by the bank", cancelled: "not paid", expired: "not paid in time",
};

async function show() {
  element("entering").hidden = Boolean(tokens);
  element("inside").hidden = !tokens;
  let me = { customer_id: "", assurance: "", passkeys: [] };
  if (tokens) me = await ask("GET", "/v1/me");
  const isKnown = Boolean(tokens) && me.assurance !== "mail";
  element("customer").textContent = me.customer_id;
  element("assurance").textContent = NAMES[me.assurance] ?? me.assurance;
  element("passkeys").textContent = tokens ? String(me.passkeys.length) : "";
  element("enter").hidden = isKnown || !me.passkeys.length;
  element("add").classList.toggle("quiet", me.passkeys.length > 0);
  element("paying").hidden = !isKnown;
  await showMoney(isKnown ? me.customer_id : null);
}

async function showMoney(customer) {
  let accounts = [];
  let payments = [];
  if (customer) {
    accounts = (await ask("GET", `/v1/accounts?customer_id=${customer}`)).items;
    payments = (await ask("GET", "/v1/payments?limit=5")).items;
  }
  const chosen = element("payer").value;
  const options = [];
  for (const account of accounts) {
    const balance = await ask("GET", `/v1/accounts/${account.id}/balance`);
    const option = new Option(
      `${shown(balance.available_minor, account.currency)} on ${account.id}`, account.id);
    option.dataset.currency = account.currency;
    options.push(option);
  }
  element("payer").replaceChildren(...options);
  if (options.some((option) => option.value === chosen)) element("payer").value = chosen;
  element("payments").replaceChildren(...payments.map((payment) => {
    const line = document.createElement("li");
    const state = STATES[payment.status] ?? payment.status;
    const money = shown(payment.amount_minor, payment.currency);
    line.textContent = `${money} to ${payment.credit_account_id ?? "a merchant"}: ${state}`;
    return line;
  }));
  element("latest").hidden = !payments.length;
  showWaiting(payments.find((payment) => payment.status === "challenged") ?? null);
}

// What is signed is what the bank holds, and not what was typed.
function showWaiting(payment) {
  const isNew = payment && payment.id !== waiting?.id;
  waiting = payment;
  element("confirming").hidden = !payment;
  element("amount-waiting").textContent =
    payment ? shown(payment.amount_minor, payment.currency) : "";
  element("payee-waiting").textContent = payment?.credit_account_id ?? "";
  element("payer-waiting").textContent = payment?.debit_account_id ?? "";
  if (isNew) element("confirming-title").focus();
}

async function passkeyFor(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey })).toJSON();
}

const acts = {
  async signUp() {
    const email = element("email").value;
    sent = { email, ...(await ask("POST", "/v1/sign-ups", { email })) };
    element("activate").hidden = false;
    element("mail").classList.add("quiet");
    element("code").focus();
    return "A code is on its way to you. It is good for ten minutes.";
  },
  async activate() {
    const body = { email: sent.email, code: element("code").value };
    tokens = await ask("POST", `/v1/sign-ups/${sent.code_id}/activation`, body);
    element("sign-up").reset();
    element("activate").reset();
    element("activate").hidden = true;
    element("mail").classList.remove("quiet");
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
    tokens = null;
    const asked = await ask("POST", "/v1/log-ins/challenges");
    const credential = await passkeyFor(asked.public_key);
    const body = { challenge_id: asked.challenge_id, credential };
    tokens = await ask("POST", "/v1/log-ins/passkey", body);
    return "You are logged in.";
  },
  async pay() {
    const { value: payer, selectedOptions } = element("payer");
    const { currency } = selectedOptions[0].dataset;
    const body = {
      debit_account_id: payer, credit_account_id: element("payee").value,
      amount_minor: minor(element("amount").value, currency), currency, channel: "web",
    };
    const text = JSON.stringify(body);
    if (order.text !== text) order = { text, key: crypto.randomUUID() };
    const payment = await ask("POST", "/v1/payments", body, order.key);
    order = { text: null, key: null };
    element("payee").value = element("amount").value = "";
    const money = shown(body.amount_minor, currency);
    if (payment.status === "challenged") return `${money}: confirm that this payment is yours.`;
    return `${money}: ${STATES[payment.status] ?? payment.status}.`;
  },
  async confirm() {
    const payment = {
      payment_id: waiting.id, amount_minor: waiting.amount_minor, currency: waiting.currency,
      payee_account_id: waiting.credit_account_id,
    };
    const asked = await ask("POST", "/v1/step-ups", { act: "payment", payment });
    const credential = await passkeyFor(asked.public_key);
    await ask("POST", `/v1/step-ups/${asked.step_up_id}/proof`, { credential });
    const path = `/v1/payments/${waiting.id}/confirmation`;
    await ask("POST", path, { step_up_id: asked.step_up_id }, asked.step_up_id);
    return "The payment is done.";
  },
  async refuse() {
    await ask("POST", `/v1/payments/${waiting.id}/cancellation`, undefined, `no-${waiting.id}`);
    return "The payment will not be made.";
  },
  async leave() {
    await ask("DELETE", "/v1/sessions");
    tokens = null;
    return "You are logged out everywhere.";
  },
};

let isBusy = false;

async function run(act) {
  // One thing after the other: two that renew at once would end the session.
  if (isBusy) return;
  isBusy = true;
  document.body.setAttribute("aria-busy", "true");
  element("status").textContent = "One moment.";
  let told;
  try {
    told = await act();
  } catch (error) {
    told = error.message;
  }
  try {
    await show();
  } catch (error) {
    told = error.message;
  }
  element("status").textContent = told;
  document.body.removeAttribute("aria-busy");
  isBusy = false;
}

for (const [id, act] of [["sign-up", acts.signUp], ["activate", acts.activate], ["pay", acts.pay]]) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    run(act);
  });
}
for (const [id, act] of [
  ["log-in", acts.logIn], ["enter", acts.logIn], ["add", acts.add], ["leave", acts.leave],
  ["confirm", acts.confirm], ["refuse", acts.refuse],
]) {
  element(id).addEventListener("click", () => run(act));
}
document.documentElement.dataset.ready = "yes";
