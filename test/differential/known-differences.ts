/**
 * Scenarios in which HareMQ differs from RabbitMQ on purpose, by their full names
 * ("area: scenario"), and the heading in docs/differences.md that says why. Some differ from every
 * version, the others from RabbitMQ 3 (compared with 3.10) or from RabbitMQ 4 (compared with 4.0).
 */

const malformed = "Malformed methods are answered";
const early = "Errors before connection.open are answered";
const noLimit = "Zero in tune-ok means no limit";
const singleActive = "No basic.get from queues with a single active consumer";
const continuation = "A second word of property flags is refused";

const hashArguments = "hash-header and hash-property of other types";
const ring = "A queue is on the hash ring while it has a binding";

const streamFailures = "Consumers of streams are refused, and nothing fails";

const historyOrder = "A history is oldest first, to exchanges too";

const fromAll: readonly (readonly [scenario: string, heading: string])[] = [
  ["policies: policies with a delivery limit", "x-delivery-limit is for all"],
  ["framing: an unknown class", malformed],
  ["framing: an unknown method", malformed],
  ["framing: an unknown method of connection", malformed],
  ["framing: an unknown method on a channel that is not open", malformed],
  ["framing: a value of an unknown type", malformed],
  ["framing: a value longer than its table", malformed],
  ["framing: an array with an unknown type in it", malformed],
  ["framing: connection.close with more than it has", malformed],
  ["framing: more flags announced and not there", continuation],
  ["handshake: channel.open before tune-ok", early],
  ["handshake: tuning: channel-max 2048, frame-max 131072, heartbeat 60", early],
  ["handshake: tuning: channel-max 65535, frame-max 131072, heartbeat 60", early],
  ["handshake: tuning: channel-max 2047, frame-max 131073, heartbeat 60", early],
  ["handshake: tuning: channel-max 2047, frame-max 4095, heartbeat 60", early],
  ["handshake: tuning: channel-max 2047, frame-max 1, heartbeat 60", early],
  ["handshake: tuning: channel-max 0, frame-max 131072, heartbeat 60", noLimit],
  ["handshake: tuning: channel-max 2047, frame-max 0, heartbeat 60", noLimit],
  ["consuming: single active: get", singleActive],
  ["queue arguments: a limit to deliveries", "x-delivery-limit is for all"],
  ["plugin exchanges: x-consistent-hash: arguments of other types", hashArguments],
  [
    "plugin exchanges: x-recent-history: an exchange that is bound gets them by their keys",
    historyOrder,
  ],
  [
    "plugin exchanges: x-recent-history: an exchange that is bound has no use for one of them",
    historyOrder,
  ],
  ["plugin exchanges: x-consistent-hash: a queue that keeps one of its bindings", ring],
  ...["no interval", "an empty text", "a truth", "a fraction", "nothing", "a list"].map(
    (name) => [`streams: a beginning that RabbitMQ fails on: ${name}`, streamFailures] as const,
  ),
  ["streams: headers that are not in order", "The offset is the last header"],
];

const streamFilters = "Streams are filtered";

const counted = "x-delivery-count begins with the first return";

const from3: typeof fromAll = [
  ["quorum queues: publish, get, acknowledge", counted],
  ["quorum queues: what comes back is counted", counted],
  ["quorum queues: too often", counted],
  ["handshake: AMQP 0-8", "AMQP 0-8 is refused"],
  ["policies: policies of classic queues", "Policies can be for one type of queue"],
  ["policies: a default queue type", "Virtual hosts have a default queue type"],
  ["queue arguments: x-queue-leader-locator of every kind", "x-queue-leader-locator is for all"],
  ["publishing: unknown delivery modes", "Unknown delivery modes are transient"],
  ["dead letters: with CC and a key of the queue's", "CC stays with dead letters"],
  ["consuming: other arguments", "x-cancel-on-ha-failover may be anything"],
  ["consuming: an argument that RabbitMQ fails on", "x-credit is ignored"],
  ["streams: an argument of mirrored queues' consumers", "x-cancel-on-ha-failover may be anything"],
  ["streams: filtering: one value", streamFilters],
  ["streams: filtering: one value, and what has none", streamFilters],
  ["streams: filtering: several values", streamFilters],
  ["streams: filtering: no value", streamFilters],
  ["streams: filtering: a flag that is none", streamFilters],
  ["streams: filtering: no values, which RabbitMQ fails on", streamFilters],
  ["streams: filtering: a value that is no text, which RabbitMQ fails on", streamFilters],
  ["streams: rejected messages have been read, too", "Streams take messages back"],
  ["streams: recovered messages do not come again", "Streams take messages back"],
];

const mechanisms = "ANONYMOUS is not offered";
const headerAnswer = "Other protocols are answered with AMQP 0-9-1";
const exchangeTypes = "Unknown exchange types close the connection";
const routed = "Transactions are routed when they are committed";

const streamRefusals = "Refused consumers of streams are worded as by 3.x";

const from4: typeof fromAll = [
  ["policies: policies for mirrored queues", "Policies for mirrored queues are kept"],
  ["policies: a limit on queues and an argument that cannot be", "The limit on queues comes first"],
  ["policies: a limit on a user's channels", "The limit on channels names the user"],
  ["handshake: AMQP 0-9-1", mechanisms],
  ["handshake: AMQP 0-9-1 in two pieces", mechanisms],
  ["handshake: AMQP 0-9", mechanisms],
  ["handshake: AMQP 1 1 9 0", headerAnswer],
  ["handshake: AMQP 1.0", headerAnswer],
  ["handshake: AMQP 1.0 with SASL", headerAnswer],
  ["handshake: AMQP 1.0 with TLS", headerAnswer],
  ["handshake: garbage", headerAnswer],
  ["handshake: an HTTP request", headerAnswer],
  ["handshake: a TLS hello", headerAnswer],
  ["queue lifecycle: a long name in an error is cut", "Long texts are cut between characters"],
  ["queue equivalence: a classic queue is no quorum queue", "Unequal queue types are worded alike"],
  ["exchanges: an unknown type", exchangeTypes],
  ["exchanges: an empty type", exchangeTypes],
  ["exchanges: an unknown type, nowait", exchangeTypes],
  ["exchanges: an unknown type for an existing exchange", exchangeTypes],
  ["exchanges: an unknown type for a reserved name", exchangeTypes],
  ["exchanges: an unknown type with an invalid argument", exchangeTypes],
  ["exchanges: a type in capitals", exchangeTypes],
  ["routing: headers: types matter", "Numbers in headers match by value"],
  ["publishing: expirations", "Texts about expirations are UTF-8"],
  ["publishing: of two things wrong one is reported", "The user is checked before the expiration"],
  ["transactions: routed when published, not when committed", routed],
  ["transactions: routed when committed, not when published", routed],
  ["streams: no prefetch limit", streamRefusals],
  ["streams: a prefetch limit for all", streamRefusals],
  ["streams: no acknowledgements", streamRefusals],
  ["streams: no acknowledgements and no prefetch limit", streamRefusals],
  ["streams: filtering: no values, which RabbitMQ fails on", streamFailures],
  ["streams: filtering: a value that is no text, which RabbitMQ fails on", streamFailures],
];

const byMajor: ReadonlyMap<number, ReadonlyMap<string, string>> = new Map([
  [3, new Map([...fromAll, ...from3])],
  [4, new Map([...fromAll, ...from4])],
]);

/** What is excused in comparisons with that major version: headings by scenario. */
export function knownDifferences(major: number): ReadonlyMap<string, string> {
  return byMajor.get(major) ?? new Map(fromAll);
}

/** Every version that something is excused of. */
export const majors: readonly number[] = [...byMajor.keys()];
