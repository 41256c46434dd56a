// SPDX-License-Identifier: Apache-2.0
// Hashes, keys, signatures and trees. Ed25519 is checked without the cofactor (RFC 8032
// section 5.1.7 allows it), because libraries that sign heads elsewhere do so too.

import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { ml_dsa44, ml_dsa65 } from "@noble/post-quantum/ml-dsa.js";
import { fromBase64, jcs, require, utf8 } from "./forms.js";

const { Point } = ed25519;

export function join(...parts) {
  const found = parts.map((part) => (typeof part === "string" ? utf8(part) : Uint8Array.from(part)));
  const joined = new Uint8Array(found.reduce((sum, part) => sum + part.length, 0));
  found.reduce((at, part) => (joined.set(part, at), at + part.length), 0);
  return joined;
}

export const hash = (...parts) => sha256(join(...parts));
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
export const H = (...parts) => hex(hash(...parts));
export const leafHash = (data) => hash([0], data);
export const labelled = (label, value) => H(`fedxdr/${label}`, [0], jcs(value));

// RFC 6962 section 2.1; each level pairs from the left and lifts a last odd node.
export function root(leaves) {
  let level = leaves;
  while (level.length > 1) {
    const pairs = [];
    for (let i = 0; i + 1 < level.length; i += 2) pairs.push(hash([1], level[i], level[i + 1]));
    level = level.length % 2 ? [...pairs, level.at(-1)] : pairs;
  }
  return level[0] ?? hash();
}

export const contributionsRoot = (found) =>
  hex(root(Object.keys(found).sort().map((org) => leafHash(utf8(jcs([org, found[org]]))))));

const ORDER = ["ed25519", "ml_dsa_65", "tlog_ed25519", "tlog_ml_dsa_44"];
export const fingerprint = (keys) => H("fedxdr/identity/all-keys/v1", [0], ...ORDER.map((kind) => fromBase64(keys[kind])));
export const allKeys = (keys) => ORDER.map((kind) => keys[kind]);

export function requireGoodPoints(keys) {
  for (const key of [keys.ed25519, keys.tlog_ed25519]) {
    let isGood = false;
    try {
      const point = Point.fromBytes(fromBase64(key));
      isGood = !point.isSmallOrder() && point.isTorsionFree();
    } catch {
      // not a point: as bad
    }
    require(isGood, "an Ed25519 key that is no point of prime order in its one spelling");
  }
}

// Section 4: a publisher's key is a point of P-256 (FIPS 186-5; SP 800-186, section 3.2.1.3).
const P256 = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const P256_B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

export function isP256(key) {
  const [x, y] = [27, 59].map((at) => BigInt(`0x${hex(fromBase64(key).subarray(at, at + 32))}`));
  return x < P256 && y < P256 && (y * y - x ** 3n + 3n * x - P256_B) % P256 === 0n;
}

const L = Point.Fn.ORDER;
const littleEndian = (bytes) => BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`);

function isEd25519(key, message, signature) {
  if (signature.length !== 64) return false;
  const [R, S] = [signature.subarray(0, 32), littleEndian(signature.subarray(32))];
  if (S >= L) return false;
  const k = littleEndian(sha512(join(R, key, message))) % L;
  const A = Point.fromBytes(key);
  const found = Point.BASE.multiplyUnsafe(S).subtract(A.multiplyUnsafe(k));
  return hex(found.toBytes()) === hex(R);
}

const CHECKS = {
  ed25519: isEd25519,
  "ml-dsa-44": (key, message, signature) => ml_dsa44.verify(signature, message, key),
  "ml-dsa-65": (key, message, signature) => ml_dsa65.verify(signature, message, key),
};

export function requireSignature(algorithm, key, message, signature) {
  let isGood = false;
  try {
    isGood = CHECKS[algorithm](key, message, signature);
  } catch {
    // the libraries throw for keys and signatures of another length or form
  }
  require(isGood, `the ${algorithm} signature does not verify`);
}

// Section 5: two signatures, in order, over the DSSE pre-authentication encoding.
export function requireSigner(envelope, keys) {
  const [ed, ml] = [fromBase64(keys.ed25519), fromBase64(keys.ml_dsa_65)];
  const wanted = [H("fedxdr/identity/v1", [0], ed), H("fedxdr/identity/ml-dsa-65/v1", [0], ml)];
  const signers = envelope.signatures.map((one) => one.keyid);
  require(jcs(signers) === jcs(wanted), "not signed by the two keys that the ledger pins");
  const [kind, payload] = [utf8(envelope.payloadType), fromBase64(envelope.payload)];
  const message = join(`DSSEv1 ${kind.length} `, kind, ` ${payload.length} `, payload);
  const [first, second] = envelope.signatures.map((one) => fromBase64(one.sig));
  requireSignature("ed25519", ed, message, first);
  requireSignature("ml-dsa-65", ml, message, second);
}
