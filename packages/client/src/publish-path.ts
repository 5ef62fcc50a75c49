/**
 * Writes the publishes of one channel. Most publishers repeat the exchange and routing key of the
 * message before: from the second such message on the frames come from a template. Properties are
 * encoded anew each time, because the object may have changed; `Channel.prepare` encodes them once.
 *
 * This is a hot file.
 */

import { FieldTable, frameOverheadBytes, type Properties } from "@haremq/wire";
import type { ChannelHost } from "./channel-host.ts";
import type { PublishProperties } from "./message.ts";
import { checkHeaderFrame, PublishTemplate, writePublish } from "./publish-template.ts";

const noProperties: Properties = {};

export class PublishPath {
  readonly #host: ChannelHost;
  readonly #channel: number;
  readonly #payloadMax: number;
  /** Where the message before went. */
  #exchange: string | undefined;
  #routingKey = "";
  #mandatory = false;
  #template: PublishTemplate | undefined;

  constructor(host: ChannelHost, channel: number) {
    this.#host = host;
    this.#channel = channel;
    this.#payloadMax = host.frameMax - frameOverheadBytes;
  }

  /** Appends one publish to the output and commits it. */
  write(
    exchange: string,
    routingKey: string,
    body: Uint8Array | string,
    properties: PublishProperties | undefined,
    mandatory: boolean,
  ): void {
    const output = this.#host.output;
    if (
      routingKey === this.#routingKey &&
      exchange === this.#exchange &&
      mandatory === this.#mandatory &&
      properties === undefined
    ) {
      this.#template ??= this.prepare(exchange, routingKey, properties, mandatory);
      this.#template.write(output, body, this.#payloadMax);
    } else {
      writePublish(
        output,
        this.#channel,
        { exchange, routingKey, mandatory, immediate: false },
        properties === undefined ? noProperties : wireProperties(properties),
        body,
        this.#host.frameMax,
      );
      this.#remember(exchange, routingKey, mandatory);
    }
    output.commit();
  }

  writePrepared(template: PublishTemplate, body: Uint8Array | string): void {
    template.write(this.#host.output, body, this.#payloadMax);
    this.#host.output.commit();
  }

  prepare(
    exchange: string,
    routingKey: string,
    properties: PublishProperties | undefined,
    mandatory: boolean,
  ): PublishTemplate {
    const template = new PublishTemplate(
      this.#channel,
      { exchange, routingKey, mandatory, immediate: false },
      properties === undefined ? noProperties : wireProperties(properties),
    );
    checkHeaderFrame(template.headerFrameBytes, this.#host.frameMax);
    return template;
  }

  #remember(exchange: string, routingKey: string, mandatory: boolean): void {
    if (
      exchange === this.#exchange &&
      routingKey === this.#routingKey &&
      mandatory === this.#mandatory
    ) {
      return;
    }
    this.#exchange = exchange;
    this.#routingKey = routingKey;
    this.#mandatory = mandatory;
    this.#template = undefined;
  }
}

/** The same properties with the headers as a table of wire values. */
function wireProperties(properties: PublishProperties): Properties {
  const headers = properties.headers;
  if (headers === undefined || headers instanceof FieldTable) return properties as Properties;
  return { ...properties, headers: FieldTable.from(headers) };
}
