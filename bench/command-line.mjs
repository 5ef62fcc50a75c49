// The command line of the benchmark: from arguments to a plan. Pure; runner.mjs carries it out.

import { scenarios } from "./scenarios.mjs";

/** A mistake of the caller's or a missing tool: shown as one line without a stack. */
export class BenchError extends Error {}

export const helpText = `Measures AMQP 0-9-1 brokers side by side on this machine.

    npm run bench -- [OPTIONS] [SCENARIO...] [TARGET...]

Without a target it builds and starts the broker of this checkout on a free port, and compares it
with the RabbitMQ at HAREMQ_ORACLE (amqp://guest:guest@127.0.0.1:5673) or HAREMQ_ORACLE_PORT, if
one of the two is set; HAREMQ_ORACLE_PID is its process when that cannot be found by the port.

Targets: LABEL=PORT[,pid=PID|pidfile=F][,start=CMD][,data=DIR], or LABEL=own for this checkout's.
  pid, pidfile   the broker's process, for CPU and memory; without, whoever listens on the port
  start          what starts the broker in the foreground, for the scenarios that restart it; a
                 target that is not running is started, and stopped at the end
  data           its data folder, to measure what it takes on the disk
Everything is on 127.0.0.1, as guest/guest, in virtual host /. Runs alternate between the targets
(A B A B ...), so that a drifting machine hits all of them; figures are medians, and the first
target is compared with each other one.

Options:
  --reps N      runs of each scenario and target (3)
  --secs S      seconds measured a run (8)
  --warm S      seconds before that (2)
  --json FILE   append every run as a line of JSON
  --table       print a Markdown table; the running report then goes to stderr
  --write FILE  put the table between the bench markers of this document; repeatable

Scenarios:
${Object.entries(scenarios)
  .map(([name, { title, needs }]) => {
    const note = needs === undefined ? "" : ` (needs ${needs.join(", ")})`;
    return `  ${name.padEnd(5)} ${title}${note}`;
  })
  .join("\n")}
`;

const valueOptions = ["--reps", "--secs", "--warm", "--json", "--write"];

/**
 * From arguments to { help, reps, secs, warm, json, table, write, scenarios, targets }. Scenarios
 * and targets are empty when none is named.
 */
export function parseCommandLine(argv) {
  const plan = {
    help: false,
    reps: 3,
    secs: 8,
    warm: 2,
    json: undefined,
    table: false,
    write: [],
    scenarios: [],
    targets: [],
  };
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--help" || word === "-h") plan.help = true;
    else if (word === "--table") plan.table = true;
    else if (word === "--")
      continue; // may part scenarios from targets
    else if (word.startsWith("-")) takeOption(plan, word, rest);
    else if (word.includes("=")) plan.targets.push(parseTarget(word));
    else if (Object.hasOwn(scenarios, word)) plan.scenarios.push(word);
    else throw new BenchError(`unknown scenario ${word}, see --help`);
  }
  const labels = plan.targets.map(({ label }) => label);
  const twice = labels.find((label, index) => labels.indexOf(label) !== index);
  if (twice !== undefined) throw new BenchError(`two targets are called ${twice}`);
  return plan;
}

function takeOption(plan, word, rest) {
  const equals = word.indexOf("=");
  const name = equals < 0 ? word : word.slice(0, equals);
  if (!valueOptions.includes(name)) throw new BenchError(`unknown option ${name}, see --help`);
  const value = equals < 0 ? rest.shift() : word.slice(equals + 1);
  if (value === undefined || value === "") throw new BenchError(`${name} needs a value`);
  switch (name) {
    case "--reps":
      plan.reps = parseNumber(name, value, 1);
      if (!Number.isInteger(plan.reps)) throw new BenchError(`${name} is not a whole number`);
      break;
    case "--secs":
      plan.secs = parseNumber(name, value, 0.1);
      break;
    case "--warm":
      plan.warm = parseNumber(name, value, 0);
      break;
    case "--json":
      plan.json = value;
      break;
    default:
      plan.write.push(value);
  }
}

function parseNumber(name, text, min) {
  const number = Number(text);
  if (!(number >= min && number < 1e6)) throw new BenchError(`${name} cannot be ${text}`);
  return number;
}

const targetOptions = ["pid", "pidfile", "start", "data"];

/**
 * From LABEL=PORT,... to { label, port, pid?, pidfile?, start?, data? }; the port is "own" for this
 * checkout's broker. A comma only separates before a known option, because commands contain some.
 */
export function parseTarget(text) {
  const [head = "", ...rest] = text.split(new RegExp(`,(?=(?:${targetOptions.join("|")})=)`));
  const [, label, portText] = /^([\w .+-]+)=([^=,]*)$/.exec(head) ?? [];
  if (label === undefined) throw new BenchError(`target ${text} is not of the form LABEL=PORT,...`);
  const isOwn = portText === "own";
  if (isOwn && rest.length > 0) throw new BenchError(`${label}=own takes no options`);
  const target = { label, port: isOwn ? "own" : parsePort(portText) };
  for (const option of rest) {
    const equals = option.indexOf("=");
    const name = option.slice(0, equals);
    const value = option.slice(equals + 1);
    if (value === "") throw new BenchError(`target ${label}: ${name} needs a value`);
    target[name] = name === "pid" ? parsePid(value) : value;
  }
  return target;
}

function parsePort(text) {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65535) return port;
  throw new BenchError(`${text === "" ? "nothing" : text} is not a port`);
}

function parsePid(text) {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new BenchError(`${text} is not a process id`);
}

/** The targets when none is named: our own broker, and the RabbitMQ the environment names. */
export function defaultTargets(environment) {
  const own = { label: "haremq", port: "own" };
  const portText = environment.HAREMQ_ORACLE_PORT ?? portOfUrl(environment.HAREMQ_ORACLE);
  if (portText === undefined) return [own];
  const oracle = { label: "rabbitmq", port: parsePort(portText) };
  const pid = environment.HAREMQ_ORACLE_PID;
  return [own, pid === undefined ? oracle : { ...oracle, pid: parsePid(pid) }];
}

function portOfUrl(text) {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "amqp:" || !/^(localhost|127\.0\.0\.1)$/.test(url.hostname)) {
    throw new BenchError(`HAREMQ_ORACLE is ${text}: only amqp://127.0.0.1:PORT can be measured`);
  }
  return url.port === "" ? "5672" : url.port;
}

/** Splits a command into words as a shell does: blanks separate, quotes and backslashes keep. */
export function splitCommand(text) {
  const words = [];
  let word;
  for (const [part, double, single, escaped] of text.matchAll(
    /"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)|\s+|[^\s"'\\]+|["'\\]/gs,
  )) {
    if (/^\s/.test(part)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    if (/^["'\\]$/.test(part)) throw new BenchError(`unfinished quote in ${text}`);
    const plain = double?.replaceAll(/\\(["\\$`])/g, "$1") ?? single ?? escaped ?? part;
    word = (word ?? "") + plain;
  }
  if (word !== undefined) words.push(word);
  if (words.length === 0) throw new BenchError("the start command is empty");
  return words;
}
