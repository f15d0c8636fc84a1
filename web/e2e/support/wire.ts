// A wire between browser and server that can be cut and mended, as a laptop's network does.
import { connect, createServer, type Server, type Socket } from "node:net";

export class Wire {
  private readonly sockets = new Set<Socket>();
  private cut = false;
  private server!: Server;
  url = "";

  static async to(target: string): Promise<Wire> {
    const { hostname, port } = new URL(target);
    const wire = new Wire();
    wire.server = createServer((near) => {
      if (wire.cut) return void near.destroy();
      const far = connect(Number(port), hostname);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        wire.sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          wire.sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    await new Promise<void>((resolve) => wire.server.listen(0, "127.0.0.1", resolve));
    const address = wire.server.address();
    if (typeof address === "object" && address) wire.url = `http://127.0.0.1:${address.port}`;
    return wire;
  }

  /** Ends all connections; new ones are refused. */
  break(): void {
    this.cut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend(): void {
    this.cut = false;
  }

  close(): void {
    this.break();
    this.server.close();
  }
}
