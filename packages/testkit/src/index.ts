/** The testkit's door: what the tests of several packages share. */

export { type MethodArguments, type MethodName, methodFrame, methodOf } from "./method-of.ts";
export {
  addressOf,
  type BrokerAddress,
  type HandshakeOptions,
  isMethod,
  protocolHeader,
  RawConnection,
  type RawFrame,
  rawFrame,
  waitDeadlineMs,
} from "./raw-connection.ts";
export { startTestBroker, type TestBroker } from "./test-broker.ts";
