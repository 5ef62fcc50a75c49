/**
 * How many bytes of memory one kind of thing takes, all of them together. Whoever takes memory adds
 * to it, and takes away what it gives back; whoever watches memory reads it.
 */

export class ByteCount {
  bytes = 0;
}
