/** The handshake: protocol headers, authentication, tuning, methods out of order. */

import { FieldTable } from "@haremq/wire";
import { area, type Scenario, scenario } from "../scenario.ts";
import { awaiting, bytes, call, connect, frame, frameOf, on, type Step, tableOf } from "../step.ts";

const fromNothing = { handshake: null };
const header = Buffer.from("AMQP\0\0\x09\x01", "latin1");
const started: Step[] = [connect("a", {}, "connection.start")];
const capable = { capabilities: { authentication_failure_close: true } };
const zero = <S extends Step>(step: S): S => on(0, step);
const startOk = (
  mechanism: string,
  response: string | Buffer,
  clientProperties: Record<string, unknown> = capable,
) =>
  zero(
    call("connection.start-ok", {
      mechanism,
      response: Buffer.from(response as string),
      locale: "en_US",
      clientProperties,
    }),
  );
const good = startOk("PLAIN", "\0guest\0guest");
const tuned: Step[] = [...started, good, awaiting("connection.tune")];
const tuneOk = (channelMax: number, frameMax: number, heartbeat = 0) =>
  zero(call("connection.tune-ok", { channelMax, frameMax, heartbeat }));
const open = (virtualHost = "/") => zero(call("connection.open", { virtualHost }));
const ready: Step[] = [...tuned, tuneOk(2047, 131_072)];
const ended = awaiting("end");

/** What the client says at this point, and how the connection ends. */
function ends(name: string, before: readonly Step[], ...steps: Step[]): Scenario {
  return scenario(name, [...before, ...steps, ended], fromNothing);
}

/** Sends these bytes first, and looks at what the broker says before it hangs up. */
function wrongHeader(name: string, first: string): Scenario {
  return scenario(
    name,
    [
      connect("a", {}, "socket"),
      on(0, bytes(name, Buffer.from(first, "latin1"))),
      awaiting("bytes"),
      ended,
    ],
    fromNothing,
  );
}

const headers = [
  scenario(
    "AMQP 0-9-1",
    [
      connect("a", {}, "socket"),
      on(0, bytes("AMQP 0 0 9 1", header)),
      awaiting("connection.start"),
    ],
    fromNothing,
  ),
  scenario(
    "AMQP 0-9-1 in two pieces",
    [
      connect("a", {}, "socket"),
      on(0, bytes("the first half", header.subarray(0, 5))),
      on(0, bytes("the second half", header.subarray(5))),
      awaiting("connection.start"),
    ],
    fromNothing,
  ),
  scenario(
    "AMQP 0-9",
    [
      connect("a", {}, "socket"),
      on(0, bytes("AMQP 1 1 0 9", Buffer.from("AMQP\x01\x01\0\x09", "latin1"))),
      awaiting("connection.start"),
    ],
    fromNothing,
  ),
  scenario(
    "AMQP 0-8",
    [
      connect("a", {}, "socket"),
      on(0, bytes("AMQP 1 1 8 0", Buffer.from("AMQP\x01\x01\x08\0", "latin1"))),
      awaiting("connection.start"),
    ],
    fromNothing,
  ),
  wrongHeader("AMQP 1 1 9 0", "AMQP\x01\x01\x09\0"),
  wrongHeader("AMQP 0 0 9 0", "AMQP\0\0\x09\0"),
  wrongHeader("AMQP 0 0 9 2", "AMQP\0\0\x09\x02"),
  wrongHeader("AMQP 1.0", "AMQP\0\x01\0\0"),
  wrongHeader("AMQP 1.0 with SASL", "AMQP\x03\x01\0\0"),
  wrongHeader("AMQP 1.0 with TLS", "AMQP\x02\x01\0\0"),
  wrongHeader("garbage", "XXXXXXXX"),
  wrongHeader("an HTTP request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  wrongHeader("a TLS hello", "\x16\x03\x01\0\xc8\x01\0\0\xc4\x03\x03and so on"),
];

const plainFailures: [string, string][] = [
  ["a wrong password", "\0guest\0wrong"],
  ["an unknown user", "\0nobody\0guest"],
  ["an empty password", "\0guest\0"],
  ["an empty user", "\0\0guest"],
];

const authentication = [
  ...plainFailures.flatMap(([name, response]) => [
    scenario(
      `PLAIN with ${name}`,
      [...started, startOk("PLAIN", response), awaiting("connection.close")],
      fromNothing,
    ),
    ends(`PLAIN with ${name}, from a client of few words`, started, startOk("PLAIN", response, {})),
  ]),
  scenario("PLAIN", [...started, good, awaiting("connection.tune")], fromNothing),
  scenario(
    "AMQPLAIN",
    [...started, startOk("AMQPLAIN", amqplain("guest", "guest")), awaiting("connection.tune")],
    fromNothing,
  ),
  scenario(
    "AMQPLAIN with a wrong password",
    [...started, startOk("AMQPLAIN", amqplain("guest", "no")), awaiting("connection.close")],
    fromNothing,
  ),
  ends("AMQPLAIN without a password", started, startOk("AMQPLAIN", loginOnly())),
  ends("AMQPLAIN cut short", started, startOk("AMQPLAIN", "\x05LOGI")),
  ends("PLAIN without separators", started, startOk("PLAIN", "guestguest")),
  ends("PLAIN with an authorization id", started, startOk("PLAIN", "who\0guest\0guest")),
  ends("PLAIN with nothing", started, startOk("PLAIN", "")),
  ends("an unknown mechanism", started, startOk("NOPE", "\0guest\0guest")),
  ends("an unknown mechanism, from a client of few words", started, startOk("NOPE", "", {})),
  ends("a mechanism in lower case", started, startOk("plain", "\0guest\0guest")),
  ends("no mechanism", started, startOk("", "\0guest\0guest")),
  scenario(
    "an unknown locale",
    [
      ...started,
      zero(
        call("connection.start-ok", {
          mechanism: "PLAIN",
          response: Buffer.from("\0guest\0guest"),
          locale: "xx_XX",
        }),
      ),
      awaiting("connection.tune"),
    ],
    fromNothing,
  ),
];

/** Whether these values are taken, which shows in the answer to connection.open. */
function tunes(channelMax: number, frameMax: number, heartbeat: number, taken: boolean): Scenario {
  const what = `channel-max ${channelMax}, frame-max ${frameMax}, heartbeat ${heartbeat}`;
  const after = [open(), awaiting(taken ? "connection.open-ok" : "anything")];
  return scenario(
    `tuning: ${what}`,
    [...tuned, tuneOk(channelMax, frameMax, heartbeat), ...after],
    fromNothing,
  );
}

const tuning = [
  tunes(2047, 131_072, 60, true),
  tunes(1, 4096, 0, true),
  tunes(2047, 131_072, 0, true),
  tunes(2047, 131_072, 65_535, true),
  tunes(2048, 131_072, 60, false),
  tunes(65_535, 131_072, 60, false),
  tunes(0, 131_072, 60, false),
  tunes(2047, 131_073, 60, false),
  tunes(2047, 0, 60, false),
  tunes(2047, 4095, 60, false),
  tunes(2047, 1, 60, false),
];

const virtualHosts = ["nope", "", "//", "é", "/ "].map((name) =>
  scenario(
    `an unknown virtual host ${JSON.stringify(name)}`,
    [...ready, open(name), awaiting("connection.close")],
    fromNothing,
  ),
);

const order = [
  ends("tune-ok before start-ok", started, tuneOk(2047, 131_072)),
  ends("open before start-ok", started, open()),
  ends("channel.open before start-ok", started, call("channel.open")),
  ends("connection.close before start-ok", started, zero(call("connection.close"))),
  ends("channel.open before tune-ok", tuned, call("channel.open")),
  ends("open before tune-ok", tuned, open()),
  ends("start-ok before tune-ok", tuned, good),
  ends("connection.close before tune-ok", tuned, zero(call("connection.close"))),
  ends("a body before start-ok", started, on(0, bytes("a body", frame(3, 0, Buffer.from("abc"))))),
  ends("start-ok cut short", started, on(0, bytes("start-ok cut short", shortStartOk()))),
  ends("a wrong end octet before start-ok", started, on(0, bytes("a wrong end", wrongEnd()))),
  ends(
    "an unknown method before start-ok",
    started,
    on(0, bytes("connection.99", frame(1, 0, Buffer.from([0, 10, 0, 99])))),
  ),
  scenario(
    "a heartbeat before start-ok",
    [
      ...started,
      on(0, bytes("a heartbeat", frame(8, 0, Buffer.alloc(0)))),
      good,
      awaiting("connection.tune"),
    ],
    fromNothing,
  ),
  scenario(
    "channel.open before open",
    [...ready, call("channel.open"), awaiting("connection.close")],
    fromNothing,
  ),
  scenario(
    "tune-ok twice",
    [...ready, tuneOk(2047, 131_072), awaiting("connection.close")],
    fromNothing,
  ),
  scenario(
    "connection.close before open",
    [...ready, zero(call("connection.close")), awaiting("connection.close")],
    fromNothing,
  ),
  scenario("open", [...ready, open(), awaiting("connection.open-ok")], fromNothing),
];

function amqplain(login: string, password: string): Buffer {
  return withoutLength(tableOf({ LOGIN: login, PASSWORD: password }));
}

function loginOnly(): Buffer {
  return withoutLength(tableOf({ LOGIN: "guest" }));
}

/** AMQPLAIN's response is a table without its length. */
function withoutLength(table: FieldTable): Buffer {
  const whole = frameOf(0, "connection.start-ok", { clientProperties: table });
  const length = whole.readUInt32BE(11);
  return Buffer.from(whole.subarray(15, 15 + length));
}

function shortStartOk(): Buffer {
  const whole = frameOf(0, "connection.start-ok", { mechanism: "PLAIN", locale: "en_US" });
  return frame(1, 0, whole.subarray(7, whole.length - 4));
}

function wrongEnd(): Buffer {
  const whole = frameOf(0, "connection.start-ok", { clientProperties: new FieldTable() });
  return frame(1, 0, whole.subarray(7, whole.length - 1), 0);
}

const patient = true;

export const handshake = area(
  "handshake",
  [...headers, ...authentication, ...tuning, ...virtualHosts, ...order],
  patient,
);
