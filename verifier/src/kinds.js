// SPDX-License-Identifier: Apache-2.0
// Blocks, entries, envelopes and statements: sections 3 to 5 of docs/reference/ledger-format.md.

import * as form from "./forms.js";
import { Fault, canonical, fromBase64, jcs, require } from "./forms.js";

const { boolean, bytes, digest, integer, list, name, number, object, oneOf, orNull } = form;
const { record, shallowObject, sorted, string, text, time } = form;

const keys = object({ ed25519: bytes(32), ml_dsa_65: bytes(1952), tlog_ed25519: bytes(32), tlog_ml_dsa_44: bytes(1312) });
const claim = object(
  { mechanism: text },
  { unit: string, epsilon: number, delta: number, clipping_norm: number, noise_multiplier: number,
    sampling_rate: number, steps: integer(), own: integer(), occurrences: integer() },
);
const names = sorted(name);
const change = integer(1);
const P256 = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
const publisher = (value) => {
  bytes(91)(value);
  const begin = Array.from(fromBase64(value).subarray(0, 27), (byte) => byte.toString(16).padStart(2, "0"));
  require(begin.join("") === P256, "not a P-256 key in DER");
};
const founders = (value) => {
  record(name, digest)(value);
  require(Object.keys(value).length > 0, "no founders");
};

const ENTRIES = {
  "genesis/v2": {
    federation: text, origin: form.origin, orchestrator: keys, publisher, created: time,
    protocol_version: integer(1), initial_model: digest, layout_digest: digest, founders,
  },
  "member-enrolled/v2": { change, org_id: name, name: text, keys, data_sources: sorted(text), invitation_digest: digest },
  "member-key-rotated/v1": { change, org_id: name, keys, previous: digest },
  "member-suspended/v1": { change, org_id: name, reason: text },
  "orchestrator-replaced/v1": { change, orchestrator: keys, publisher, origin: form.origin },
  "model-retired/v1": { change, model_hash: digest, successor: digest, reason: text },
  "plan-adopted/v2": { change, plan: shallowObject, plan_digest: digest },
  "key-ceremony/v2": { change, record: shallowObject, fingerprint: digest, holders: names },
  "round-committed/v1": {
    round_id: name, task: oneOf("training", "statistics"), plan_digest: digest, contributions_root: digest,
    sum_digest: digest, collection_mode: text, cohort: names, survivors: names, dropouts: names,
    contributions: record(name, digest),
  },
  "round-failed/v1": { round_id: name, phase: text, reason: text, sentence: text, survivors: names },
};

export const kindOf = (entry) => entry.type.replace(/^fedxdr\/(.*)\/v\d$/, "$1");

const entry = (value) => {
  record(() => {}, form.shallow)(value);
  const kind = typeof value.type === "string" && value.type.startsWith("fedxdr/") ? value.type.slice(7) : "";
  require(Object.hasOwn(ENTRIES, kind), "no known kind of entry");
  object({ type: string, ...ENTRIES[kind] })(value);
};

const provenance = object({
  model_version: text, parent_model: orNull(digest), round_id: orNull(name), training_orgs: names,
  training_config: shallowObject, data_sources: sorted(string), data_volume: record(name, integer()),
  aggregation_method: orNull(string), privacy_params: record(name, claim),
});

export const isBare = (made, version) =>
  jcs(made) === jcs({
    model_version: version, parent_model: null, round_id: null, training_orgs: [], training_config: {},
    data_sources: [], data_volume: {}, aggregation_method: null, privacy_params: {},
  });

const blockFields = object({
  height: integer(0), timestamp: time, prev_hash: digest, model_hash: digest, org_signatures: record(name, digest),
  aggregation_metrics: record(string, number), provenance, entry, signatures_digest: digest,
});
export const ZEROS = "0".repeat(64);
export const block = (value) => {
  blockFields(value);
  const first = [value.height === 0, value.prev_hash === ZEROS, kindOf(value.entry) === "genesis"];
  require(new Set(first).size === 1, "height 0, 64 zeros and a genesis go together or not at all");
};

export const envelope = (value) => {
  object({
    payload: fromBase64, payloadType: string,
    signatures: list(object({ keyid: string, sig: (sig) => fromBase64(sig) })),
  })(value);
  require(value.signatures.length > 0, "an envelope without signatures");
};

const resource = (called, sha256) => ({ digest: { sha256 }, name: called });
const inToto = (f) => ({
  _type: "https://in-toto.io/Statement/v1",
  predicateType: f.verdict === "accepted" ? "https://slsa.dev/provenance/v1" : "urn:fedxdr:rejection:v1",
  subject: [resource("model.safetensors", f.model_hash)],
  predicate: {
    buildDefinition: {
      buildType: "urn:fedxdr:round:v1",
      externalParameters: { dataVolume: f.data_volume, plan: f.plan_digest, privacy: f.privacy_params, task: f.task },
      resolvedDependencies: [
        resource("parent", f.parent_model),
        ...Object.keys(f.contributions).sort().map((org) => resource(`contribution/${org}`, f.contributions[org])),
      ],
    },
    fedxdr_acceptance: {
      issued_at: f.issued_at, org: f.org, prev_hash: f.prev_hash, reason: f.reason, replayed: f.replayed, verdict: f.verdict,
    },
    runDetails: {
      builder: { id: `urn:fedxdr:orchestrator:${f.builder}` },
      byproducts: [
        resource("sum", f.sum_digest), resource("contributions", f.contributions_root),
        { annotations: f.figures, name: "figures" },
      ],
      metadata: { invocationId: f.round_id },
    },
  },
});

const acceptanceFields = object({
  org: name, round_id: name, task: oneOf("training", "statistics"), builder: digest, plan_digest: digest,
  prev_hash: digest, parent_model: digest, model_hash: digest, sum_digest: digest, contributions: record(name, digest),
  contributions_root: digest, data_volume: record(name, integer()), privacy_params: record(name, claim),
  figures: record(string, number), replayed: boolean, verdict: oneOf("accepted", "rejected"), reason: string, issued_at: time,
});

function acceptance(value) {
  let found;
  try {
    const { buildDefinition: build, runDetails: run, fedxdr_acceptance: own } = value.predicate;
    const [parent, ...given] = build.resolvedDependencies;
    const [sum, root, figures] = run.byproducts;
    found = {
      ...own,
      builder: run.builder.id.replace("urn:fedxdr:orchestrator:", ""),
      contributions: Object.fromEntries(given.map((one) => [one.name.replace("contribution/", ""), one.digest.sha256])),
      contributions_root: root.digest.sha256, data_volume: build.externalParameters.dataVolume,
      figures: figures.annotations, model_hash: value.subject[0].digest.sha256, parent_model: parent.digest.sha256,
      plan_digest: build.externalParameters.plan, privacy_params: build.externalParameters.privacy,
      round_id: run.metadata.invocationId, sum_digest: sum.digest.sha256, task: build.externalParameters.task,
    };
  } catch {
    throw new Fault("not the in-toto statement of an acceptance");
  }
  acceptanceFields(found);
  require(Array.from(found.reason).length <= 500, "a reason that is too long");
  if (found.verdict === "rejected") text(found.reason);
  require(jcs(inToto(found)) === jcs(value), "an acceptance in another form");
  return found;
}

const STATEMENTS = {
  contribution: object({
    org: name, round_id: name, plan_digest: digest, parent_model: digest, contribution_digest: digest,
    sample_exponent: integer(0, 40), privacy: claim, issued_at: time,
  }),
  enrolment: object({
    org: name, name: text, keys, data_sources: sorted(string), invitation_digest: digest, issued_at: time,
  }),
  rotation: object({ org: name, keys, previous: digest, issued_at: time }),
  approval: object({ org: name, ledger: digest, entry: digest, expires: time, issued_at: time }),
};

export const TYPES = {
  contribution: "application/vnd.fedxdr.contribution-statement.v1+json",
  enrolment: "application/vnd.fedxdr.enrolment-statement.v2+json",
  rotation: "application/vnd.fedxdr.rotation-statement.v1+json",
  approval: "application/vnd.fedxdr.approval.v1+json",
  acceptance: "application/vnd.in-toto+json",
};

export function statement(found, kind) {
  const payload = fromBase64(found.payload);
  if (kind === "acceptance") return acceptance(canonical(payload, (value) => form.shallow(value, Infinity)));
  return canonical(payload, STATEMENTS[kind]);
}
