/** Goal: a command line means what it means to PerfTest, and what cannot be meant is refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandLine, UsageError } from "./command-line.ts";
import { helpText, optionTable } from "./option-table.ts";
import { defaultOptions, type PerfOptions, parseOptions } from "./perf-options.ts";

const now = new Date(2026, 0, 2, 3, 4, 5, 6);

function parse(line: string): PerfOptions {
  return parseOptions(new CommandLine(line === "" ? [] : line.split(" ")), now).options;
}

/** What a command line changes in the defaults. */
function changes(line: string): Partial<PerfOptions> {
  const defaults = defaultOptions(now);
  const entries = Object.entries(parse(line)).filter(
    ([name, value]) =>
      JSON.stringify(value) !== JSON.stringify(defaults[name as keyof PerfOptions]),
  );
  return Object.fromEntries(entries);
}

test("the defaults are PerfTest's", () => {
  assert.deepEqual(defaultOptions(now), {
    id: "test-030405-006",
    uris: ["amqp://localhost"],
    heartbeatSeconds: undefined,
    frameMax: 0,
    producers: 1,
    consumers: 1,
    producerChannels: 1,
    consumerChannels: 1,
    sizeBytes: undefined,
    bodyFiles: [],
    persistent: false,
    mandatory: false,
    properties: {},
    publishRate: undefined,
    startDelaySecondsMax: 0,
    confirmWindow: undefined,
    confirmTimeoutSeconds: 30,
    producerTxSize: 0,
    autoAck: false,
    multiAckEvery: 0,
    prefetch: 0,
    channelPrefetch: 0,
    consumeRate: undefined,
    consumerLatencyUs: 0,
    consumerTxSize: 0,
    slowStart: false,
    exchange: "direct",
    exchangeType: "direct",
    queues: [],
    queuePattern: false,
    routingKey: undefined,
    randomRoutingKey: false,
    bindQueues: true,
    predeclared: false,
    exclusive: false,
    autoDelete: true,
    queueArguments: {},
    timeLimitSeconds: undefined,
    producerMessages: undefined,
    consumerMessages: undefined,
    shutdownTimeoutSeconds: 5,
    intervalSeconds: 1,
    legacyMetrics: false,
    useMillis: false,
    csvFile: undefined,
    jsonFile: undefined,
  });
});

const meanings: [string, Partial<PerfOptions>][] = [
  ["-x 3 -y 4", { producers: 3, consumers: 4 }],
  ["-x3 -y4 -r2.5", { producers: 3, consumers: 4, publishRate: 2.5 }],
  ["--producers=3 --consumers 4", { producers: 3, consumers: 4 }],
  ["-h amqp://a -h amqp://b", { uris: ["amqp://b"] }],
  ["-H amqp://a,amqp://b", { uris: ["amqp://a", "amqp://b"] }],
  ["-d mine -s 1000 -z 30", { id: "mine", sizeBytes: 1000, timeLimitSeconds: 30 }],
  ["-c 100", { confirmWindow: 100 }],
  ["-c 0", { confirmWindow: 0 }],
  ["-c -1", {}],
  ["-z 0 -C 0 -r 0", {}],
  ["-C 10 -D 20", { producerMessages: 10, consumerMessages: 20 }],
  ["-a", { autoAck: true }],
  ["-A 10 -q 20 -Q 30", { multiAckEvery: 10, prefetch: 20, channelPrefetch: 30 }],
  ["-R 100 -L 5", { consumeRate: 100, consumerLatencyUs: 5 }],
  ["-P 4", { publishRate: 0.25 }],
  ["-f persistent", { persistent: true, properties: { deliveryMode: 2 } }],
  ["-f persistent mandatory", flags()],
  ["-f persistent -f mandatory", flags()],
  ["-f persistent,mandatory", flags()],
  ["-t topic", { exchangeType: "topic", exchange: "topic" }],
  ["-t fanout -e logs", { exchangeType: "fanout", exchange: "logs" }],
  ["-e", { exchange: "" }],
  ["-e amq.default -x 1", { exchange: "" }],
  ["-u a,b -k key -p", { queues: ["a", "b"], routingKey: "key", predeclared: true }],
  ["-K -sb -E", { randomRoutingKey: true, bindQueues: false, exclusive: true }],
  ["-ad false", { autoDelete: false }],
  [
    "-qp perf-%02d -qpf 9 -qpt 11",
    { queues: ["perf-09", "perf-10", "perf-11"], queuePattern: true },
  ],
  [
    "-qa x-max-length=10,x-single-active-consumer=true,x-overflow=drop-head",
    {
      queueArguments: {
        "x-max-length": 10,
        "x-single-active-consumer": true,
        "x-overflow": "drop-head",
      },
    },
  ],
  [
    "-qq",
    {
      persistent: true,
      properties: { deliveryMode: 2 },
      autoDelete: false,
      queueArguments: { "x-queue-type": "quorum" },
    },
  ],
  [
    "-mp priority=5,contentType=text/plain,colour=red,timestamp=2020-01-01T00:00:00Z",
    {
      properties: {
        priority: 5,
        contentType: "text/plain",
        timestamp: 1_577_836_800,
        headers: { colour: "red" },
      },
    },
  ],
  ["-B a.json,b.json -T application/json", bodies()],
  ["-X 2 -Y 3 -i 5 -l -ms", { producerChannels: 2, consumerChannels: 3, ...lines() }],
  ["-b 7 -M 8192 -st 1", { heartbeatSeconds: 7, frameMax: 8192, shutdownTimeoutSeconds: 1 }],
  ["-m 10 -n 20", { producerTxSize: 10, consumerTxSize: 20 }],
  ["--json", { jsonFile: "" }],
  ["--json out.json -o out.csv", { jsonFile: "out.json", csvFile: "out.csv" }],
];

function flags(): Partial<PerfOptions> {
  return { persistent: true, mandatory: true, properties: { deliveryMode: 2 } };
}

function bodies(): Partial<PerfOptions> {
  return { bodyFiles: ["a.json", "b.json"], properties: { contentType: "application/json" } };
}

function lines(): Partial<PerfOptions> {
  return { intervalSeconds: 5, legacyMetrics: true, useMillis: true };
}

for (const [line, expected] of meanings) {
  test(`reads ${line}`, () => {
    assert.deepEqual(changes(line), expected);
  });
}

const refused: [string, RegExp][] = [
  ["--frobnicate", /^unknown option --frobnicate$/],
  ["-w 1", /^unknown option -w$/],
  ["-producers 1", /^unknown option -producers$/],
  ["producers", /^unexpected argument "producers"$/],
  ["-x", /^--producers needs a value$/],
  ["-x -y 1", /^--producers needs a value$/],
  ["-x one", /^--producers is a whole number of at least 0, not "one"$/],
  ["-x 1.5", /whole number/],
  ["-X 0", /at least 1/],
  ["-r fast", /^--rate is a number of at least 0, not "fast"$/],
  ["-r -5", /--rate/],
  ["-a=1", /^--autoack takes no value$/],
  ["-ad maybe", /true or false/],
  ["-f durable", /^--flag is persistent or mandatory, not "durable"$/],
  ["-q 65536", /at most 65535/],
  ["-qp q-%d", /given together/],
  ["-qpf 1 -qpt 2", /given together/],
  ["-qp q-%d -qpf 3 -qpt 2", /not above/],
  ["-qp q -qpf 1 -qpt 2", /one %d/],
  ["-qp q-%s -qpf 1 -qpt 2", /one %d/],
  ["-qa x-max-length", /key=value/],
  ["-mp priority=high", /priority/],
  ["-mp timestamp=soon", /timestamp/],
  ["-m 10 -c 10", /exclude each other/],
  ["-a -n 10", /--ctxsize needs acknowledgements/],
];

for (const [line, message] of refused) {
  test(`refuses ${line}`, () => {
    assert.throws(
      () => parse(line),
      (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        assert.equal(error.message.includes("\n"), false);
        return true;
      },
    );
  });
}

test("options without effect are accepted and said to be so", () => {
  const line = new CommandLine(["-hst", "5", "-dcr", "-q", "5", "-A", "10"]);
  assert.deepEqual(parseOptions(line, now).notes, [
    "--heartbeat-sender-threads has no effect here",
    "--disable-connection-recovery has no effect here",
    "--multi-ack-every 10 never comes with a prefetch of 5",
  ]);
});

test("no two options share a name, and the help shows every one", () => {
  const names = optionTable.flatMap(({ short, long }) => [short ?? long, long]);
  assert.equal(new Set(names).size, optionTable.length * 2 - countWithoutShort());
  const help = helpText();
  for (const { long } of optionTable) assert.ok(help.includes(`--${long}`), long);
  for (const line of help.split("\n")) assert.ok(line.length <= 100, line);
});

function countWithoutShort(): number {
  return optionTable.filter(({ short }) => short === undefined).length;
}
