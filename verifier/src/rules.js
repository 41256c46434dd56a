// SPDX-License-Identifier: Apache-2.0
// What each block must satisfy to follow on what is in force: tables B to E of section 8
// of docs/reference/ledger-format.md, row by row.

import { isBefore, jcs, located, require, same, utf8 } from "./forms.js";
import { TYPES, ZEROS, isBare, kindOf, statement } from "./kinds.js";
import { idsOf, quorumOf } from "./heads.js";
import { H, allKeys, contributionsRoot, fingerprint, isP256, labelled, requireGoodPoints, requireSigner } from "./signatures.js";

const RESERVED = ["auditor", "none", "operator", "orchestrator"];
const FIGURES = ["round", "num_clients", "convergence", "gradient_norm", "survivors_weight"];

export function checkBlock(signed, standing) {
  const { block } = signed;
  const height = standing.height + 1;
  const at = (step) => (holds, message) => require(holds, message, step, height);
  at(2)(block.height === height, `the block says height ${block.height}`);
  at(2)(block.prev_hash === standing.hash, "prev_hash is not the hash of the block before");
  at(2)(standing.timestamp === null || !isBefore(block.timestamp, standing.timestamp), "dated before the block it follows");
  const kind = kindOf(block.entry);
  const check = { genesis: checkGenesis, "round-committed": checkRound, "round-failed": checkFailure }[kind] ?? checkChange;
  check({ ...signed, entry: block.entry, made: block.provenance, height, at, kind }, standing);
}

function memberOf(org, { at }, standing) {
  at(6)(standing.members.has(org), `${org} is no member before this block`);
  return standing.members.get(org);
}

// The statements of a kind by organisation, in the order of the envelopes; signers unchecked.
function stated({ envelopes, height }, kind, step) {
  const found = new Map();
  for (const envelope of envelopes.filter((one) => one.payloadType === TYPES[kind])) {
    located(step, height, () => {
      const says = statement(envelope, kind);
      require(!found.has(says.org), `${says.org} states the same thing twice`);
      found.set(says.org, { envelope, says });
    });
  }
  return found;
}

function requireKinds({ envelopes, at }, step, kinds) {
  const known = kinds.map((kind) => TYPES[kind]);
  for (const one of envelopes) at(step)(known.includes(one.payloadType), `an envelope of kind ${one.payloadType}`);
}

const isSet = (found, wanted) => same([...found].sort(), [...wanted].sort());

// Table C
function checkRound(context, standing) {
  const { block, entry, made, at } = context;
  const { plan } = standing;
  at(7)(plan !== null && standing.planDigest === entry.plan_digest, "not under the plan in force");
  requireKinds(context, 4, ["contribution", "acceptance"]);
  checkContributions(context, standing);
  checkAcceptances(context, standing);
  for (const org of entry.cohort) memberOf(org, context, standing);
  at(7)(same([...entry.survivors, ...entry.dropouts].sort(), entry.cohort), "survivors and dropouts are not the cohort");
  at(7)(entry.survivors.length >= plan.min_survivors, "fewer survivors than the plan wants");
  at(7)(entry.collection_mode === plan.collection_mode, "not collected as the plan says");
  const metrics = block.aggregation_metrics;
  for (const name of FIGURES) at(7)(Object.hasOwn(metrics, name), `no figure for ${name}`);
  for (const [name, value] of Object.entries(metrics)) at(7)(value >= 0, `${name} is ${value}`);
  at(7)(metrics.num_clients === entry.survivors.length, "num_clients is not the number of survivors");
  at(7)(metrics.survivors_weight > 0, "the survivors weigh nothing");
  at(7)(Number.isInteger(metrics.round) && metrics.round > standing.lastRound, `round ${metrics.round} after ${standing.lastRound}`);
  at(7)(made.round_id === entry.round_id, "the provenance is of another round");
  at(7)(same(made.training_orgs, entry.survivors), "training_orgs are not the survivors");
  at(7)(made.aggregation_method === plan.aggregation_method, "not aggregated as the plan says");
  at(7)(isSet(Object.keys(made.data_volume), entry.survivors), "data volumes are not those of the survivors");
  for (const [name, value] of Object.entries(made.training_config)) {
    at(7)(!Object.hasOwn(plan, name) || same(plan[name], value), `training_config says another ${name} than the plan`);
  }
  const sources = entry.survivors.flatMap((org) => memberOf(org, context, standing).sources);
  at(7)(made.data_sources.every((one) => sources.includes(one)), "data_sources that no organisation enrolled");
  checkPrivacy(context, plan);
  at(9)(!standing.rounds.has(entry.round_id), `round ${entry.round_id} is on the ledger already`);
  at(9)(made.parent_model === standing.model, "the parent is not the model in force");
  at(9)(block.model_hash === standing.model || !standing.models.has(block.model_hash), "that model was in force before");
}

function checkContributions(context, standing) {
  const { entry, made, at, height } = context;
  const found = stated(context, "contribution", 4);
  at(4)(isSet(found.keys(), entry.survivors), "contribution statements are not those of the survivors");
  at(4)(isSet(Object.keys(entry.contributions), entry.survivors), "contributions are not those of the survivors");
  at(4)(entry.contributions_root === contributionsRoot(entry.contributions), "contributions_root is another");
  for (const [org, { envelope, says }] of found) {
    const { keys } = memberOf(org, context, standing);
    located(4, height, () => requireSigner(envelope, keys));
    const pairs = {
      round: [says.round_id, entry.round_id], plan: [says.plan_digest, entry.plan_digest],
      parent: [says.parent_model, made.parent_model], contribution: [says.contribution_digest, entry.contributions[org]],
      "data volume": [2 ** says.sample_exponent, made.data_volume[org]], privacy: [says.privacy, made.privacy_params[org]],
    };
    for (const [what, [left, right]] of Object.entries(pairs)) at(4)(same(left, right), `${org} stated another ${what}`);
  }
}

function checkAcceptances(context, standing) {
  const { block, entry, made, at, height } = context;
  const found = stated(context, "acceptance", 5);
  const digests = Object.fromEntries([...found].map(([org, { envelope }]) => [org, H(utf8(jcs(envelope)))]));
  at(5)(same(block.org_signatures, digests), "org_signatures are not those of the acceptances");
  const { num_clients: _, ...figures } = block.aggregation_metrics;
  const wanted = {
    round_id: entry.round_id, task: entry.task, plan_digest: entry.plan_digest, sum_digest: entry.sum_digest,
    contributions: entry.contributions, contributions_root: entry.contributions_root,
    builder: fingerprint(standing.log.keys), prev_hash: block.prev_hash, model_hash: block.model_hash,
    parent_model: made.parent_model, data_volume: made.data_volume, privacy_params: made.privacy_params, figures,
  };
  for (const [org, { envelope, says }] of found) {
    at(5)(entry.cohort.includes(org), `${org} was not announced`);
    const { keys } = memberOf(org, context, standing);
    located(5, height, () => requireSigner(envelope, keys));
    for (const [what, value] of Object.entries(wanted)) at(5)(same(says[what], value), `${org} spoke of another ${what}`);
  }
  const accepted = [...found.values()].filter(({ says }) => says.verdict === "accepted").length;
  at(5)(accepted >= standing.plan.threshold, `${accepted} accepted, the plan wants ${standing.plan.threshold}`);
}

function checkPrivacy({ entry, made, at }, plan) {
  const claims = made.privacy_params;
  at(8)(isSet(Object.keys(claims), entry.survivors), "privacy claims are not those of the survivors");
  const planned = Object.hasOwn(plan, "privacy") ? plan.privacy : null;
  const promised = planned !== null && typeof planned === "object" && !Array.isArray(planned) ? planned : {};
  const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
  const mechanism = own(promised, "mechanism") ?? (Object.hasOwn(promised, "mechanism") ? null : "none");
  for (const [org, claim] of Object.entries(claims)) {
    at(8)(same(claim.mechanism, mechanism), `${org} claims the mechanism ${claim.mechanism}`);
    if (mechanism === "none") {
      at(8)(Object.keys(claim).length === 1, `${org} claims figures of a mechanism that it did not use`);
      continue;
    }
    for (const name of ["unit", "delta", "noise_multiplier", "sampling_rate", "steps"]) {
      at(8)(same(own(claim, name), own(promised, name)), `${org} claims another ${name} than the plan has`);
    }
    const most = own(promised, "epsilon");
    at(8)(typeof most === "number" && claim.epsilon > 0 && claim.epsilon <= most, `${org} claims an epsilon of ${claim.epsilon}`);
  }
}

// Table D
function requireQuiet({ block, made, at }, model, version) {
  at(5)(Object.keys(block.org_signatures).length === 0, "signatures that this kind of entry does not have");
  at(7)(Object.keys(block.aggregation_metrics).length === 0, "metrics without a round");
  at(9)(block.model_hash === model && isBare(made, version), "another model comes into force without a round");
}

function checkFailure(context, standing) {
  const { entry, envelopes, at } = context;
  requireQuiet(context, standing.model, standing.version);
  at(5)(envelopes.length === 0, "envelopes beside a round that failed");
  for (const org of entry.survivors) memberOf(org, context, standing);
  at(9)(!standing.rounds.has(entry.round_id), `round ${entry.round_id} is on the ledger already`);
}

// Table E
function checkGenesis(context, standing) {
  const { entry, at, height } = context;
  requireQuiet(context, entry.initial_model, standing.version);
  requireKinds(context, 6, ["enrolment", "approval"]);
  const enrolled = stated(context, "enrolment", 6);
  const founders = Object.keys(entry.founders);
  at(6)(isSet(enrolled.keys(), founders), "enrolments are not those of the founders");
  at(6)(isSet(stated(context, "approval", 6).keys(), founders), "approvals are not those of the founders");
  const seen = new Set(allKeys(entry.orchestrator));
  requireLog(context);
  const keys = new Map();
  for (const [org, { envelope, says }] of enrolled) {
    at(6)(!RESERVED.includes(org), `${org} is the name of somebody else`);
    located(6, height, () => requireSigner(envelope, says.keys));
    at(6)(fingerprint(says.keys) === entry.founders[org], `${org} enrolled with other keys than the genesis names`);
    at(6)(allKeys(says.keys).every((key) => !seen.has(key)), `a key of ${org} is somebody else's`);
    requireGoodKeys(org, says.keys, context);
    allKeys(says.keys).forEach((key) => seen.add(key));
    keys.set(org, says.keys);
  }
  const used = new Set([...enrolled.values()].map(({ says }) => says.invitation_digest));
  at(6)(used.size === enrolled.size, "two founders used one invitation");
  checkApprovals(context, keys, ZEROS);
}

function checkChange(context, standing) {
  const { entry, at, kind } = context;
  at(6)(entry.change === standing.changes + 1, `change ${entry.change} after change ${standing.changes}`);
  const beside = { "member-enrolled": ["enrolment"], "member-key-rotated": ["rotation"] }[kind] ?? [];
  CHANGES[kind](context, standing);
  const back = kind === "model-retired" ? entry.successor : null;
  requireQuiet(context, back ?? standing.model, back === null ? standing.version : standing.models.get(back));
  requireKinds(context, 6, [...beside, "approval"]);
  const keys = new Map([...standing.members].map(([org, member]) => [org, member.keys]));
  const approved = checkApprovals(context, keys, standing.genesisHash);
  at(6)(approved >= quorumOf(standing.members.size), `${approved} of ${standing.members.size} members approved`);
}

function checkApprovals(context, keys, ledger) {
  const { block, entry, at, height } = context;
  const wanted = labelled("entry/v1", entry);
  const found = stated(context, "approval", 6);
  for (const [org, { envelope, says }] of found) {
    at(6)(keys.has(org), `${org} approved and is no member`);
    located(6, height, () => requireSigner(envelope, keys.get(org)));
    at(6)(says.entry === wanted, `${org} approved another entry`);
    at(6)(says.ledger === ledger, `${org} approved on another ledger`);
    at(6)(!isBefore(says.expires, block.timestamp), `the approval of ${org} had expired`);
  }
  return found.size;
}

function requireGoodKeys(holder, keys, { at, height }) {
  at(6)(idsOf(holder, keys) === 3, `two keys of ${holder} have one ID in heads`);
  at(6)(new Set(allKeys(keys)).size === 4, `${holder} has one key twice`);
  located(6, height, () => requireGoodPoints(keys));
}

function requireNewKeys(holder, keys, context, standing) {
  const isNew = allKeys(keys).every((key) => !standing.keysSeen.has(key));
  context.at(6)(isNew, `a key of ${holder} belongs or belonged to somebody`);
  requireGoodKeys(holder, keys, context);
}

function requireLog({ entry, ...context }) {
  context.at(6)(/[./]/.test(entry.origin), "an origin without dot and slash, as a member's name");
  requireGoodKeys(entry.origin, entry.orchestrator, context);
  context.at(6)(isP256(entry.publisher), "a publisher's key that is no point of P-256");
}

// The one statement of a kind by which a member proves that it holds the entry's keys.
function requireProof(context, kind, wanted) {
  const { envelopes, entry, at, height } = context;
  const found = envelopes.filter((one) => one.payloadType === TYPES[kind]);
  at(6)(found.length === 1, `${found.length} statements of kind ${kind}, want one`);
  const says = located(6, height, () => {
    requireSigner(found[0], entry.keys);
    return statement(found[0], kind);
  });
  for (const [what, value] of Object.entries(wanted)) at(6)(same(says[what], value), `${entry.org_id} stated another ${what}`);
}

const CHANGES = {
  "member-enrolled"(context, standing) {
    const { entry, at } = context;
    const { org_id: org, name, keys, data_sources, invitation_digest } = entry;
    at(6)(!RESERVED.includes(org), `${org} is the name of somebody else`);
    at(6)(!standing.members.has(org), `${org} is a member already`);
    requireNewKeys(org, keys, context, standing);
    at(6)(!standing.invitations.has(invitation_digest), `${org} joined with an invitation that was used before`);
    requireProof(context, "enrolment", { org, name, keys, data_sources, invitation_digest });
  },
  "member-key-rotated"(context, standing) {
    const { entry, at } = context;
    const { org_id: org, keys, previous } = entry;
    at(6)(previous === fingerprint(memberOf(org, context, standing).keys), `${org} has other keys than those to be replaced`);
    requireNewKeys(org, keys, context, standing);
    requireProof(context, "rotation", { org, keys, previous });
  },
  "member-suspended"(context, standing) {
    memberOf(context.entry.org_id, context, standing);
    context.at(6)(standing.members.size > 1, "the last member cannot be suspended");
  },
  "orchestrator-replaced"(context, standing) {
    const { entry, at } = context;
    requireNewKeys(entry.origin, entry.orchestrator, context, standing);
    requireLog(context);
    at(6)(!standing.logs.includes(entry.origin), "the ledger had that name before");
  },
  "plan-adopted"({ entry, at }) {
    const { plan } = entry;
    const own = (name) => (Object.hasOwn(plan, name) ? plan[name] : undefined);
    for (const name of ["threshold", "min_survivors"]) {
      at(7)(Number.isSafeInteger(own(name)) && own(name) >= 1, `the plan's ${name} is no whole number of 1 or more`);
    }
    for (const name of ["collection_mode", "aggregation_method"]) {
      at(7)(typeof own(name) === "string" && own(name) !== "", `the plan's ${name} is no text`);
    }
    at(7)(labelled("plan/v1", plan) === entry.plan_digest, "the plan's digest is another");
  },
  "key-ceremony"(context, standing) {
    const { entry, at } = context;
    for (const org of entry.holders) memberOf(org, context, standing);
    at(6)(labelled("paillier/ceremony/v1", entry.record) === entry.fingerprint, "the ceremony's fingerprint is another");
  },
  "model-retired"({ entry, at }, { model, models, withdrawn }) {
    at(9)(models.has(entry.model_hash) && !withdrawn.has(entry.model_hash), "that model cannot be withdrawn");
    at(9)(models.has(entry.successor) && !withdrawn.has(entry.successor), "that model cannot come back");
    at(9)(entry.successor !== entry.model_hash, "the model to return to is withdrawn");
    at(9)([entry.model_hash, entry.successor].includes(model), "the model in force changes though another is withdrawn");
  },
};
