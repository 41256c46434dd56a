// SPDX-License-Identifier: Apache-2.0
// Canonical JSON (RFC 8785) and the forms of sections 1 to 5 of docs/reference/ledger-format.md.
// A form is a function of a parsed value that throws Fault unless the value has it.

export class Fault extends Error {
  constructor(message, step, height) {
    super(message);
    Object.assign(this, { step, height });
  }
}

export function require(holds, message, step, height) {
  if (!holds) throw new Fault(message, step, height);
}

// What is refused inside gets step and height, unless it has them. JSON nested beyond the
// engine's stack counts as refused.
export function located(step, height, action) {
  try {
    return action();
  } catch (error) {
    if (error instanceof Fault && error.step !== undefined) throw error;
    if (!(error instanceof Fault || error instanceof RangeError)) throw error;
    throw new Fault(error.message, step, height);
  }
}

export const same = (a, b) => a !== undefined && b !== undefined && jcs(a) === jcs(b);

export function jcs(value) {
  if (Array.isArray(value)) return `[${value.map(jcs).join(",")}]`;
  if (value === null || typeof value !== "object") {
    require(typeof value !== "string" || value.isWellFormed(), "half a surrogate pair");
    // JavaScript's own form of a number is that of RFC 8785, -0 and Infinity match nothing
    return typeof value === "number" ? String(value) : JSON.stringify(value);
  }
  const names = Object.keys(value).sort(); // by UTF-16, as RFC 8785 wants
  return `{${names.map((name) => `${jcs(name)}:${jcs(value[name])}`).join(",")}}`;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
export const utf8 = (text) => new TextEncoder().encode(text);

export function decodeText(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    throw new Fault("not UTF-8");
  }
}

export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault("not JSON");
  }
}

// The value of these bytes, which must be its canonical form, in the form given.
export function canonical(bytes, form) {
  const text = decodeText(bytes);
  const value = parseJson(text);
  form(value);
  require(jcs(value) === text, "not in canonical form (RFC 8785)");
  return value;
}

// Standard base64; "spare" lets spare bits be set, which one table of the document needs.
export function fromBase64(text, spare = false) {
  const good = typeof text === "string" && text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
  require(good, "not base64");
  const binary = atob(text);
  require(spare || btoa(binary) === text, "base64 in another spelling");
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

export function toBase64(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

// Code point order, which differs from UTF-16's beyond U+FFFF.
export function compare(a, b) {
  const [left, right] = [Array.from(a), Array.from(b)];
  const at = left.findIndex((letter, i) => letter !== right[i]);
  if (at < 0) return left.length - right.length;
  return at < right.length ? left[at].codePointAt(0) - right[at].codePointAt(0) : 1;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const when = (test, what) => (value) => require(test(value), `${what}: ${String(value).slice(0, 60)}`);
const matches = (pattern, what) => when((value) => typeof value === "string" && pattern.test(value), what);

export const string = when((value) => typeof value === "string" && value.isWellFormed(), "not a text");
export const number = when((value) => typeof value === "number" && Number.isFinite(value), "not a number");
export const boolean = when((value) => typeof value === "boolean", "not true or false");
export const integer = (min = -Infinity, max = Infinity) =>
  when((value) => Number.isSafeInteger(value) && value >= min && value <= max, "not such an integer");
export const digest = matches(/^[0-9a-f]{64}$/, "not a digest");
export const name = matches(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, "not a name");
export const origin = matches(/^[!-*,-~]{1,255}$/, "not an origin");
export const text = matches(/^(?:[^\p{C}\p{Z}]| ){1,500}$/u, "not a printable text");
export const oneOf = (...values) => when((value) => values.includes(value), "not a known word");

const days = (year, month) => new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
export function time(value) {
  const found = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(?!000000)\d{6})?Z$/.exec(value);
  const [year, month, day, hour, minute, second] = (found ?? []).slice(1).map(Number);
  const good = year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= days(year, month);
  require(typeof value === "string" && good && hour < 24 && minute < 60 && second < 60, `not a time: ${value}`);
}
// (without the Z a time with a fraction sorts after the same second without)
export const isBefore = (a, b) => a.slice(0, -1) < b.slice(0, -1);

export const bytes = (length) => (value) =>
  require(fromBase64(value).length === length, `not ${length} bytes in base64`);
export const orNull = (form) => (value) => value === null || form(value);
export const list = (form) => (value) => {
  require(Array.isArray(value), "not a list");
  value.forEach(form);
};
export const sorted = (form) => (value) => {
  list(form)(value);
  require(value.every((item, i) => i === 0 || compare(value[i - 1], item) < 0), "a list not in order");
};
export const record = (key, form) => (value) => {
  require(isObject(value), "not an object");
  Object.entries(value).forEach(([found, inner]) => (key(found), form(inner)));
};
export const object = (fields, optional = {}) => (value) => {
  require(isObject(value), "not an object");
  const known = { ...fields, ...optional };
  for (const found of Object.keys(value)) require(Object.hasOwn(known, found), `unknown field ${found}`);
  for (const [field, form] of Object.entries(known)) {
    const isThere = Object.hasOwn(value, field);
    require(isThere || Object.hasOwn(optional, field), `no field ${field}`);
    if (isThere) form(value[field]);
  }
};

// Any JSON value, at most so many lists and objects deep.
export const shallow = (value, depth = 32) => {
  const isLarge = Number.isInteger(value) && !Number.isSafeInteger(value);
  require(!isLarge || Math.abs(value) >= 1e21, "an integer of 2^53 or more"); // (1e21 has an exponent)
  if (value === null || typeof value !== "object") return;
  require(depth > 0, "nested too deeply");
  Object.values(value).forEach((inner) => shallow(inner, depth - 1));
};
export const shallowObject = (value) => (record(() => {}, () => {})(value), shallow(value));
