/** Channels and connections after the handshake: opening, closing, methods out of place. */

import { area, type Scenario, scenario } from "../scenario.ts";
import { awaiting, bytes, call, on, publish, reopen, type Step, together } from "../step.ts";

const qos = call("basic.qos");
const soft = call("queue.declare", { queue: "~missing", passive: true });
const closeChannel = call("channel.close", { replyCode: 200, replyText: "bye" });
const openChannel = call("channel.open");
const closed = awaiting("connection.close");

/** A method that the broker cannot accept where it is sent, and the connection's end. */
function fatal(name: string, ...steps: Step[]): Scenario {
  return scenario(name, [...steps, closed]);
}

const opening = [
  scenario("many channels", [
    on(2, openChannel),
    on(3, openChannel),
    on(2047, openChannel),
    on(3, qos),
  ]),
  fatal("a channel twice", openChannel),
  scenario("a channel again after closing it", [closeChannel, openChannel, qos]),
  fatal("a channel that was closed", closeChannel, qos),
  scenario("channel.close of the client's with any arguments", [
    call("channel.close", { replyCode: 541, replyText: "é", classId: 99, methodId: 99 }),
  ]),
  fatal("a channel that was never opened", on(7, qos)),
  fatal("closing a channel that was never opened", on(7, closeChannel)),
  fatal("agreeing to close a channel that was never opened", on(7, call("channel.close-ok"))),
  fatal("agreeing to close a channel that is open", call("channel.close-ok")),
  fatal("connection.close on a channel that was never opened", on(7, call("connection.close"))),
];

const refused = [
  scenario("methods on a refused channel are ignored", [
    soft,
    qos,
    call("queue.declare", { queue: "~q", exclusive: true }),
    publish("", "~q", "1"),
    call("channel.close-ok"),
    openChannel,
    call("queue.declare", { queue: "~q", passive: true }),
  ]),
  scenario("a refused channel closed by the client too", [
    soft,
    closeChannel,
    call("channel.close-ok"),
    openChannel,
    qos,
  ]),
  fatal("a refused channel opened before agreeing", soft, openChannel),
  fatal(
    "a refused channel opened after closing it instead of agreeing",
    soft,
    closeChannel,
    openChannel,
  ),
  scenario("other channels go on", [on(2, openChannel), soft, on(2, qos), reopen(), qos]),
  scenario("the next error on a channel opened anew", [soft, reopen(), soft, reopen(), qos]),
  scenario("a soft error and a hard one, sent together", [
    together(soft, call("basic.recover", { requeue: false }), qos),
    qos,
  ]),
];

const channelZero = [
  fatal("queue.declare on channel 0", on(0, call("queue.declare", { queue: "~q" }))),
  fatal("channel.open on channel 0", on(0, openChannel)),
  fatal("channel.close on channel 0", on(0, closeChannel)),
  fatal("basic.qos on channel 0", on(0, qos)),
];

const connectionMethods = [
  "connection.start-ok",
  "connection.secure-ok",
  "connection.tune-ok",
  "connection.open",
  "connection.close-ok",
  "connection.start",
  "connection.blocked",
  "connection.unblocked",
  "connection.update-secret-ok",
] as const;

const connectionScenarios = [
  ...connectionMethods.map((name) => fatal(`${name} on an open connection`, on(0, call(name)))),
  ...(
    ["connection.close", "connection.close-ok", "connection.open", "connection.tune-ok"] as const
  ).map((name) => fatal(`${name} on a channel`, call(name))),
  scenario("update-secret", [
    on(0, call("connection.update-secret", { newSecret: Buffer.from("s"), reason: "r" })),
    awaiting("connection.update-secret-ok"),
    qos,
  ]),
  fatal("update-secret on a channel", call("connection.update-secret", { reason: "r" })),
  scenario("connection.close", [
    on(0, call("connection.close", { replyCode: 200, replyText: "bye" })),
    awaiting("connection.close-ok"),
  ]),
  scenario("connection.close, and more after it", [
    together(on(0, call("connection.close", { replyCode: 200 })), soft, on(7, qos)),
    awaiting("connection.close-ok"),
  ]),
];

const serverMethods = [
  "channel.open-ok",
  "channel.flow-ok",
  "exchange.declare-ok",
  "queue.declare-ok",
  "queue.bind-ok",
  "basic.qos-ok",
  "basic.consume-ok",
  "basic.cancel-ok",
  "basic.get-empty",
  "basic.recover-ok",
  "confirm.select-ok",
  "tx.select-ok",
  "access.request-ok",
] as const;

const outOfPlace = [
  ...serverMethods.map((name) => fatal(`${name} from a client`, call(name))),
  ...(["basic.deliver", "basic.return", "basic.get-ok"] as const).map((name) =>
    fatal(
      `${name} with a content from a client`,
      together(call(name), bytes("an empty content", emptyContent())),
    ),
  ),
];

function emptyContent(): Buffer {
  return Buffer.from([2, 0, 1, 0, 0, 0, 14, 0, 60, ...Array(12).fill(0), 0xce]);
}

export const channels = area("channels", [
  ...opening,
  ...refused,
  ...channelZero,
  ...connectionScenarios,
  ...outOfPlace,
  scenario("flow on", [call("channel.flow", { active: true })]),
  scenario("flow off", [call("channel.flow", { active: false })]),
  scenario("access.request", [
    call("access.request", { realm: "/data", active: true, read: true, write: true }),
    call("access.request", { realm: "", exclusive: true, passive: true }),
  ]),
]);
