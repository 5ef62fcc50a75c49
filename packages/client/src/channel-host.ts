/** What a channel needs of its connection. */

import type { WireReader } from "@haremq/wire";
import type { FrameOutput } from "./frame-output.ts";

export interface ChannelHost {
  readonly output: FrameOutput;
  /** Shared by all channels: frames are decoded one at a time. */
  readonly reader: WireReader;
  /**
   * The negotiated largest frame; where none was agreed, the largest that a frame head can
   * announce.
   */
  readonly frameMax: number;
  readonly maxBodyBytes: number;
  /** The channel is closed on both sides: its number may be given to another. */
  releaseChannel(number: number): void;
}
