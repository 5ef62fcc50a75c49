// The scenarios that are more than one run of the load generator. Each measures one target once and
// returns a row, { failed: reason } in the worst case.

import { execFile } from "node:child_process";

const settleMs = 5000;
const backlogMessages = 1_000_000;
const backlogPrefix = "backlog";
const recoveryLimitMs = 120_000;
const pollMs = 20;

export const procedures = { idle, start, backlog };

/**
 * Memory that earlier load has left behind would hide what a connection costs: who can be
 * restarted is.
 */
async function idle({ name, scenario, target, generator }) {
  if (target.missing(["start"]).length === 0 && target.pid !== 0) await target.restart();
  return generator.load(target, name, scenario.load);
}

async function start({ name, target }) {
  if (target.pid !== 0) await target.stop("SIGTERM");
  const startS = await target.start();
  await pause(settleMs);
  return { label: name, start_s: round(startS), rss_idle_mb: target.residentMb };
}

/** A million messages: published, there after a restart, there after a kill -9, drained. */
async function backlog({ name, target, generator }) {
  const durable = "--durable --size 1024";
  const before = target.residentMb;
  const sent = await generator.load(
    target,
    name,
    `--persistent ${durable} --prefix ${backlogPrefix} --confirm 1000 --cons 0 ` +
      `--count ${backlogMessages} --keep`,
  );
  if (sent.failed !== undefined) return sent;
  const row = {
    label: name,
    publish_s: sent.pub_s,
    rss_before_mb: before,
    rss_max_mb: sent.rss_max_mb,
    disk_mb: await diskMb(target.dataFolder),
    restart_s: await reopen(target, generator, "SIGTERM"),
    crash_restart_s: await reopen(target, generator, "SIGKILL"),
    depth_after: await generator.depth(target, backlogPrefix),
    rss_recovered_mb: target.residentMb,
  };
  if (row.depth_after === 0) return { ...row, failed: "the backlog did not survive the restarts" };
  const drained = await generator.load(
    target,
    name,
    `${durable} --prefix ${backlogPrefix} --pubs 0 --cons 1 --ack 100 --prefetch 1000 ` +
      `--expect ${row.depth_after}`,
  );
  return drained.failed === undefined ? { ...row, drain_s: drained.con_s } : { ...row, ...drained };
}

/** Seconds from the start of the process until the whole backlog is there again. */
async function reopen(target, generator, signal) {
  await target.stop(signal);
  const beganMs = performance.now();
  await target.start();
  while ((await generator.depth(target, backlogPrefix)) < backlogMessages) {
    if (performance.now() - beganMs > recoveryLimitMs) break; // depth_after tells
    await pause(pollMs);
  }
  return round((performance.now() - beganMs) / 1000);
}

function diskMb(folder) {
  return new Promise((resolve) => {
    execFile("du", ["-sm", folder], (_error, stdout) => {
      resolve(stdout === "" ? undefined : Number.parseInt(stdout, 10));
    });
  });
}

function round(seconds) {
  return Math.round(seconds * 100) / 100;
}

function pause(durationMs) {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
