/**
 * The bytes of one file in memory, in chunks that exist only where something was written; the rest
 * reads as zeros, as in a sparse file. The memory and the faulty disk keep their files in it.
 *
 *   chunks   [ 16 KiB ][ absent: zeros ][ 16 KiB |........]
 *                                                ^ size; a chunk is all zeros beyond it
 */

const chunkBytes = 16 * 1024;

export class ByteImage {
  #chunks: (Buffer | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array, start: number, length: number, position: number): void {
    for (let done = 0; done < length; ) {
      const at = position + done;
      const index = Math.floor(at / chunkBytes);
      const offset = at % chunkBytes;
      const part = Math.min(length - done, chunkBytes - offset);
      this.#chunks[index] ??= Buffer.alloc(chunkBytes);
      this.#chunks[index].set(bytes.subarray(start + done, start + done + part), offset);
      done += part;
    }
    if (length > 0) this.#size = Math.max(this.#size, position + length);
  }

  /** Returns the number of bytes read, which end with the file. */
  read(into: Uint8Array, start: number, length: number, position: number): number {
    const total = Math.max(0, Math.min(length, this.#size - position));
    for (let done = 0; done < total; ) {
      const at = position + done;
      const offset = at % chunkBytes;
      const part = Math.min(total - done, chunkBytes - offset);
      const chunk = this.#chunks[Math.floor(at / chunkBytes)];
      if (chunk === undefined) into.fill(0, start + done, start + done + part);
      else into.set(chunk.subarray(offset, offset + part), start + done);
      done += part;
    }
    return total;
  }

  resize(size: number): void {
    if (size < this.#size) {
      this.#chunks.length = Math.min(this.#chunks.length, Math.ceil(size / chunkBytes));
      this.#chunks[Math.floor(size / chunkBytes)]?.fill(0, size % chunkBytes);
    }
    this.#size = size;
  }

  clone(): ByteImage {
    const copy = new ByteImage();
    copy.become(this);
    return copy;
  }

  /** Takes over the other's content. */
  become(other: ByteImage): void {
    this.#chunks = other.#chunks.map((chunk) => chunk && Buffer.from(chunk));
    this.#size = other.#size;
  }
}
