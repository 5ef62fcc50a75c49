// The framing constants of AMQP 0-9-1. Used by everything that reads or writes frames.
//
//   ┌ type u8 ┬ channel u16 ┬ payload length u32 ┬ payload ┬ 0xce ┐

export const FrameType = { Method: 1, Header: 2, Body: 3, Heartbeat: 8 } as const;

export const frameEnd = 0xce;

/** The octets of a frame that are not payload. */
export const frameOverheadBytes = 8;

/** Both peers must accept frames of this size, and no lower limit may be negotiated. */
export const frameMinBytes = 4096;
