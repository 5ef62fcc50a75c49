/**
 * A publish whose exchange, routing key and properties are settled, made by `Channel.prepare`: the
 * fastest way to send many messages that differ in their body only.
 */

import type { PublishTemplate } from "./publish-template.ts";

export class PreparedPublish {
  readonly #template: PublishTemplate;
  readonly #send: (template: PublishTemplate, body: Uint8Array | string) => boolean;

  constructor(
    template: PublishTemplate,
    send: (template: PublishTemplate, body: Uint8Array | string) => boolean,
  ) {
    this.#template = template;
    this.#send = send;
  }

  /** As `Channel.basicPublish`: false asks to wait for the channel's `drain`. */
  publish(body: Uint8Array | string): boolean {
    return this.#send(this.#template, body);
  }
}
