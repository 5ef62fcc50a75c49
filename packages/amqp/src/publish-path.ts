/**
 * The way of a message into the broker: collects the frames of basic.publish on one channel, checks
 * what RabbitMQ checks, and hands the message to the queues it is routed to.
 *
 *     begin (method frame) -> header (content header) -> body pieces ... -> publish
 *
 * Most publishers repeat themselves, so the path remembers the previous publish of the channel:
 * where exchange, routing key and property bytes are the same again, the permission, the route and
 * the verdict on the properties hold, and nothing is decoded. A remembered route says itself when
 * it has become invalid; permissions have an epoch.
 *
 * Bytes of a content whose frames come in one chunk are used where they lie. What must outlive its
 * chunk is copied: `letGoOfChunk` is called when the chunk ends, or another channel's content
 * begins.
 *
 * This is a hot file.
 */

import {
  ConnectionError,
  checkExpiration,
  DirectReplies,
  type Exchange,
  encodeBlindCopies,
  fieldTypeName,
  internalExchangePublish,
  MessageView,
  messageTooLarge,
  noBlindCopies,
  noTerms,
  notImplemented,
  type Passage,
  preconditionFailed,
  priorityOf,
  propertiesBytesMax,
  type Queue,
  type Route,
  replyQueueName,
  type Session,
  termsOf,
  unstored,
  userIdMismatch,
} from "@haremq/broker";
import {
  decodeProperties,
  decodeText,
  type FieldTable,
  fieldText,
  PropertyFlag,
  PropertyScan,
  removeHeader,
  replaceReplyTo,
  scanProperties,
  WireReader,
} from "@haremq/wire";

const expectMethod = 0;
const expectHeader = 1;
const expectBody = 2;

const rememberedPropertiesMax = 64;
/** The delivery mode of messages that are to survive a restart. */
const persistentMode = 2;
const firstAssemblyBytes = 64 * 1024;
const noBytes = Buffer.alloc(0);
const noQueues: readonly Queue[] = [];
const noKeys: readonly string[] = [];
/** Properties that make the broker look into a message. */
const noticedFlags =
  PropertyFlag.Headers | PropertyFlag.ReplyTo | PropertyFlag.Expiration | PropertyFlag.UserId;

/** What the path needs to know of its channel, and tells it. */
export interface PublishOwner {
  readonly session: Session;
  readonly directReplies: DirectReplies;
  readonly messageBytesMax: number;
  /** The channel's own address for direct replies, or undefined if it takes none. */
  readonly replyAddress: string | undefined;
  /** A message is on its way. */
  onContent(): void;
  /** So many bytes more, or less, are held for messages that are not complete. */
  onHeld(bytes: number): void;
  /** The message is complete and allowed; the view is only valid during the call. */
  onMessage(view: MessageView, queues: readonly Queue[], mandatory: boolean): void;
  /** The same for a message that taps of exchanges may have seen. */
  onPassage(
    view: MessageView,
    routingKeys: readonly string[],
    passage: Passage<Queue>,
    mandatory: boolean,
  ): void;
}

const scan = new PropertyScan();
const reader = new WireReader(noBytes);

export class PublishPath {
  readonly #owner: PublishOwner;
  readonly #view = new MessageView();
  #expected = expectMethod;
  #mandatory = false;
  #immediate = false;

  // The address of the previous publish, and what was found out about it.
  #address = noBytes;
  #addressLength = 0;
  #exchange: Exchange | null = null;
  #route: Route<Queue> | null = null;
  #accessEpoch = -1;
  #routingKey = "";

  // The property bytes that were last found to need no further look.
  readonly #plainProperties = Buffer.alloc(rememberedPropertiesMax);
  #plainLength = -1;
  #plainIsPersistent = false;
  #plainTerms = 0;
  #isPlain = false;

  #bodyBytes = 0;
  #received = 0;
  #assembly = noBytes;

  constructor(owner: PublishOwner) {
    this.#owner = owner;
  }

  /** Whether a content is under way, so that no method may come. */
  get isOpen(): boolean {
    return this.#expected !== expectMethod;
  }

  get expectsHeader(): boolean {
    return this.#expected === expectHeader;
  }

  /**
   * Takes basic.publish: the bytes from the exchange name to the end of the frame. Returns false if
   * they are malformed.
   */
  begin(buffer: Buffer, start: number, end: number): boolean {
    const keyStart = start + 1 + buffer[start]!;
    if (keyStart >= end) return false;
    const bitsStart = keyStart + 1 + buffer[keyStart]!;
    if (bitsStart + 1 !== end) return false;
    const bits = buffer[bitsStart]!;
    this.#mandatory = (bits & 1) !== 0;
    this.#immediate = (bits & 2) !== 0;
    if (!this.#isSameAddress(buffer, start, bitsStart - start)) {
      this.#rememberAddress(buffer, start, bitsStart - start);
    }
    this.#expected = expectHeader;
    return true;
  }

  /** Takes the content header: the bytes from the body size to the end of the frame. */
  header(buffer: Buffer, start: number, end: number): void {
    const high = buffer.readUInt32BE(start);
    const low = buffer.readUInt32BE(start + 4);
    const bodyBytes = high * 0x1_0000_0000 + low;
    const view = this.#view;
    view.properties = buffer;
    view.propertiesStart = start + 8;
    view.propertiesLength = end - start - 8;
    this.#bodyBytes = bodyBytes;
    this.#received = 0;
    if (bodyBytes > this.#owner.messageBytesMax) {
      this.#expected = expectMethod;
      throw messageTooLarge(buffer.readBigUInt64BE(start), this.#owner.messageBytesMax);
    }
    if (!this.#repeatsPlainProperties(buffer, view.propertiesStart, view.propertiesLength)) {
      this.#lookAtProperties(buffer, view.propertiesStart, end);
    }
    // While the broker is short the client is stopped here, before it has sent the body.
    this.#owner.onContent();
    if (bodyBytes === 0) this.#complete(buffer, end, 0);
    else this.#expected = expectBody;
  }

  /** Takes a body frame or a piece of one; false if there is more of it than was announced. */
  body(buffer: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (length === this.#bodyBytes && this.#received === 0) {
      this.#complete(buffer, start, length);
      return true;
    }
    const received = this.#received + length;
    if (received > this.#bodyBytes) return false;
    if (received > this.#assembly.length) this.#growAssembly(received);
    buffer.copy(this.#assembly, this.#received, start, end);
    this.#received = received;
    if (received === this.#bodyBytes) {
      const body = this.#assembly;
      this.dropAssembly();
      this.#complete(body, 0, received);
    }
    return true;
  }

  /**
   * The chunk that the last frame came in is about to be reused: keeps what is still needed of it,
   * and does not hold on to the rest.
   */
  letGoOfChunk(): void {
    const view = this.#view;
    const from = view.propertiesStart;
    view.properties =
      this.#expected === expectBody
        ? Buffer.from(view.properties.subarray(from, from + view.propertiesLength))
        : noBytes;
    view.propertiesStart = 0;
    view.body = noBytes;
  }

  #complete(body: Buffer, bodyStart: number, bodyLength: number): void {
    this.#expected = expectMethod;
    const view = this.#view;
    view.address = this.#address;
    view.addressStart = 0;
    view.addressLength = this.#addressLength;
    view.body = body;
    view.bodyStart = bodyStart;
    view.bodyLength = bodyLength;
    view.handle = unstored;
    view.blindCopies = noBlindCopies;
    if (this.#immediate) throw notImplemented("immediate=true");
    const route = this.#route;
    const owner = this.#owner;
    if (
      route?.valid === true &&
      this.#isPlain &&
      !route.needsMessage &&
      this.#accessEpoch === owner.session.accessEpoch
    ) {
      owner.onMessage(view, route.queues, this.#mandatory);
      return;
    }
    this.#publishWithCare(view);
  }

  /** The whole of what RabbitMQ checks, in its order. */
  #publishWithCare(view: MessageView): void {
    const owner = this.#owner;
    const { session } = owner;
    const exchange = this.#checkExchange();
    let headers: FieldTable | undefined;
    if (!this.#isPlain) headers = this.#checkProperties(view);
    const routingKey = this.#routingKey;
    const topology = session.vhost.topology;
    const carbonCopies = headers === undefined ? undefined : this.#carbonCopies(view, headers);
    if (exchange.name === "" && this.#reply(view, [routingKey, ...(carbonCopies ?? noKeys)])) {
      // No queue holds a direct reply, so a mandatory one always comes back, as in RabbitMQ.
      const others = (carbonCopies ?? noKeys).filter((key) => !DirectReplies.isAddress(key));
      const routingKeys = DirectReplies.isAddress(routingKey) ? others : [routingKey, ...others];
      if (routingKeys.length === 0) owner.onMessage(view, noQueues, this.#mandatory);
      else {
        const passage = topology.pass(exchange, { routingKeys, headers, view });
        owner.onPassage(view, routingKeys, passage, this.#mandatory);
      }
      return;
    }
    const route = topology.route(exchange, routingKey);
    this.#route = route;
    if (carbonCopies === undefined && !route.needsMessage) {
      owner.onMessage(view, route.queues, this.#mandatory);
      return;
    }
    const routingKeys = carbonCopies === undefined ? [routingKey] : [routingKey, ...carbonCopies];
    const passage = topology.pass(exchange, { routingKeys, headers, view });
    owner.onPassage(view, routingKeys, passage, this.#mandatory);
  }

  /**
   * Sends the message to every requester of a direct reply among the keys; false if there is none.
   */
  #reply(view: MessageView, keys: readonly string[]): boolean {
    let isReply = false;
    for (const key of new Set(keys)) {
      if (!DirectReplies.isAddress(key)) continue;
      isReply = true;
      this.#owner.directReplies.find(key)?.(view);
    }
    return isReply;
  }

  #checkExchange(): Exchange {
    const { session } = this.#owner;
    let exchange = this.#exchange;
    if (
      exchange === null ||
      this.#accessEpoch !== session.accessEpoch ||
      session.vhost.exchange(exchange.name) !== exchange
    ) {
      exchange = session.exchangeToPublish(decodeText(this.#address, 1, 1 + this.#address[0]!));
      if (exchange.internal) throw internalExchangePublish(exchange.name, session.vhost.name);
      this.#exchange = exchange;
      this.#accessEpoch = session.accessEpoch;
    }
    session.checkTopicWrite(exchange, this.#routingKey);
    return exchange;
  }

  /** Checks the properties that RabbitMQ looks into; returns the message's headers. */
  #checkProperties(view: MessageView): FieldTable | undefined {
    const start = view.propertiesStart;
    reader.reset(view.properties, start, start + view.propertiesLength);
    const { userId, expiration, headers, replyTo } = decodeProperties(reader);
    const { session, replyAddress } = this.#owner;
    if (replyTo === replyQueueName) {
      // A request for a direct reply: its reply-to becomes the address of this channel's requester.
      if (replyAddress === undefined)
        throw preconditionFailed("fast reply consumer does not exist");
      const end = view.propertiesStart + view.propertiesLength;
      setProperties(view, replaceReplyTo(view.properties, view.propertiesStart, end, replyAddress));
    }
    const { user } = session;
    if (userId !== undefined && userId !== user.name && !user.tags.includes("impersonator")) {
      throw userIdMismatch(userId, user.name);
    }
    if (expiration !== undefined) {
      view.terms = termsOf(priorityOf(view.terms), checkExpiration(expiration));
    }
    return headers;
  }

  /** The further routing keys that the sender named in CC and BCC; BCC itself is not passed on. */
  #carbonCopies(view: MessageView, headers: FieldTable): string[] | undefined {
    const cc = routingKeysIn(headers, "CC");
    const bcc = routingKeysIn(headers, "BCC");
    if (bcc !== undefined) {
      const end = view.propertiesStart + view.propertiesLength;
      setProperties(view, removeHeader(view.properties, view.propertiesStart, end, "BCC"));
      view.blindCopies = encodeBlindCopies(bcc);
    }
    if (cc === undefined && bcc === undefined) return undefined;
    return [...(cc ?? []), ...(bcc ?? [])];
  }

  #isSameAddress(buffer: Buffer, start: number, length: number): boolean {
    if (length !== this.#addressLength) return false;
    const address = this.#address;
    // Addresses that differ mostly do so at their end.
    for (let i = length - 1; i >= 0; i--) {
      if (address[i] !== buffer[start + i]) return false;
    }
    return true;
  }

  #rememberAddress(buffer: Buffer, start: number, length: number): void {
    const nameLength = buffer[start]!;
    const isSameExchange =
      this.#addressLength > nameLength &&
      buffer.compare(this.#address, 0, 1 + nameLength, start, start + 1 + nameLength) === 0;
    if (this.#address.length < length) this.#address = Buffer.allocUnsafeSlow(length + 64);
    buffer.copy(this.#address, 0, start, start + length);
    this.#addressLength = length;
    this.#routingKey = decodeText(buffer, start + 2 + nameLength, start + length);
    this.#route = null;
    if (!isSameExchange) this.#exchange = null;
  }

  #repeatsPlainProperties(buffer: Buffer, start: number, length: number): boolean {
    if (length !== this.#plainLength) return false;
    const remembered = this.#plainProperties;
    for (let i = 0; i < length; i++) {
      if (remembered[i] !== buffer[start + i]) return false;
    }
    this.#isPlain = true;
    this.#view.isPersistent = this.#plainIsPersistent;
    this.#view.terms = this.#plainTerms;
    return true;
  }

  /** Refuses malformed properties, before anybody is sent them, and notes whether they matter. */
  #lookAtProperties(buffer: Buffer, start: number, end: number): void {
    if (end - start > propertiesBytesMax || !scanProperties(buffer, start, end, scan)) {
      this.#expected = expectMethod;
      throw new ConnectionError("INTERNAL_ERROR", "");
    }
    this.#isPlain = (scan.flags & noticedFlags) === 0;
    this.#view.isPersistent = scan.deliveryMode === persistentMode;
    this.#view.terms = scan.priority > 0 ? termsOf(scan.priority, undefined) : noTerms;
    const length = end - start;
    if (!this.#isPlain || length > rememberedPropertiesMax) return;
    buffer.copy(this.#plainProperties, 0, start, end);
    this.#plainLength = length;
    this.#plainIsPersistent = this.#view.isPersistent;
    this.#plainTerms = this.#view.terms;
  }

  /** Gives back what was collected of a body; its channel is about to end. */
  dropAssembly(): void {
    if (this.#assembly.length === 0) return;
    this.#owner.onHeld(-this.#assembly.length);
    this.#assembly = noBytes;
  }

  #growAssembly(atLeast: number): void {
    const doubled = Math.max(firstAssemblyBytes, this.#assembly.length * 2, atLeast);
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#bodyBytes, doubled));
    this.#owner.onHeld(grown.length - this.#assembly.length);
    this.#assembly.copy(grown, 0, 0, this.#received);
    this.#assembly = grown;
  }
}

function setProperties(view: MessageView, properties: Buffer): void {
  view.properties = properties;
  view.propertiesStart = 0;
  view.propertiesLength = properties.length;
}

function routingKeysIn(headers: FieldTable, name: string): string[] | undefined {
  const value = headers.get(name);
  if (value === undefined) return undefined;
  if (value.type !== "A") {
    const type = fieldTypeName(value.type);
    throw preconditionFailed(`invalid message: {unacceptable_type_in_header,"${name}",${type}}`);
  }
  const keys: string[] = [];
  for (const item of value.value) {
    if (item.type === "S") keys.push(fieldText(item) ?? "");
  }
  return keys;
}
