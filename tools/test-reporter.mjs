// The node:test reporter that tools/test.mjs gives to every test process: one JSON object a line,
// with only what the runner needs. The runner reads the file back after the process has ended, or
// after it had to be killed, which is why every event is a line of its own that stands without
// those after it.

import { inspect } from "node:util";

/** Begins the name of the empty test that tools/unit-tests.mjs puts before those of each file. */
export const fileMark = "tests of file ";

export default async function* report(source) {
  for await (const event of source) {
    const line = describe(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function describe({ type, data }) {
  if (data.nesting === 0 && data.name?.startsWith(fileMark)) {
    const isEnd = type === "test:pass" || type === "test:fail";
    return isEnd ? { event: "file", path: data.name.slice(fileMark.length) } : undefined;
  }
  switch (type) {
    case "test:dequeue": // a test really starts (test:start comes when it is reported)
      return { event: "start", name: data.name, nesting: data.nesting };
    case "test:pass":
    case "test:fail":
      return result(type === "test:pass", data);
    case "test:diagnostic":
      return { event: "note", message: data.message };
    default:
      return undefined;
  }
}

function result(passed, data) {
  const failure = data.details?.error;
  return {
    event: "end",
    passed,
    name: data.name,
    nesting: data.nesting,
    suite: data.details?.type === "suite",
    skip: data.skip, // true, or the reason
    todo: data.todo,
    durationMs: data.details?.duration_ms ?? 0,
    failureType: failure?.failureType,
    error: failure === undefined ? undefined : describeError(failure),
  };
}

/** node:test wraps what the test threw; only the thrown thing interests the reader. */
function describeError(failure) {
  const thrown = failure.cause ?? failure;
  // The message of an AssertionError already shows both values.
  const isComplete = typeof thrown === "string" || thrown?.code === "ERR_ASSERTION";
  const text = isComplete ? (thrown.stack ?? thrown) : inspect(thrown, { depth: 6 });
  // Node's own frames say nothing about the fault.
  return text.replaceAll(/^ +at .*\bnode:.*\n?/gm, "");
}
