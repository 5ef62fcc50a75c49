/**
 * Scenarios in which HareMQ differs from RabbitMQ 3.10 on purpose, by their full names
 * ("area: scenario"), and the heading in docs/differences.md that says why.
 */

const malformed = "Malformed methods are answered";
const early = "Errors before connection.open are answered";
const noLimit = "Zero in tune-ok means no limit";
const singleActive = "No basic.get from queues with a single active consumer";

const continuation = "A second word of property flags is refused";

export const knownDifferences: ReadonlyMap<string, string> = new Map([
  ["framing: an unknown class", malformed],
  ["framing: an unknown method", malformed],
  ["framing: an unknown method of connection", malformed],
  ["framing: an unknown method on a channel that is not open", malformed],
  ["framing: a value of an unknown type", malformed],
  ["framing: a value longer than its table", malformed],
  ["framing: an array with an unknown type in it", malformed],
  ["consuming: an argument that RabbitMQ fails on", "x-credit is ignored"],
  ["consuming: single active: get", singleActive],
  ["publishing: unknown delivery modes", "Unknown delivery modes are transient"],
  ["framing: connection.close with more than it has", malformed],
  ["queue arguments: x-queue-leader-locator of every kind", "x-queue-leader-locator is for all"],
  ["framing: more flags announced and not there", continuation],
  ["handshake: AMQP 0-8", "AMQP 0-8 is refused"],
  ["handshake: channel.open before tune-ok", early],
  ["handshake: tuning: channel-max 2048, frame-max 131072, heartbeat 60", early],
  ["handshake: tuning: channel-max 65535, frame-max 131072, heartbeat 60", early],
  ["handshake: tuning: channel-max 2047, frame-max 131073, heartbeat 60", early],
  ["handshake: tuning: channel-max 2047, frame-max 4095, heartbeat 60", early],
  ["handshake: tuning: channel-max 2047, frame-max 1, heartbeat 60", early],
  ["handshake: tuning: channel-max 0, frame-max 131072, heartbeat 60", noLimit],
  ["handshake: tuning: channel-max 2047, frame-max 0, heartbeat 60", noLimit],
]);
