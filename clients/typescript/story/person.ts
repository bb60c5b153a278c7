/** A member of the network with a browser and a wallet. */
import { type Client } from "openapi-fetch";
import { type PrivateKeyAccount, generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { type MemberRead, type TypedData, answerOf, connect, type paths } from "../src/index.js";

const PASSWORD = "correct horse battery staple";

export class Person {
  readonly wallet: PrivateKeyAccount = privateKeyToAccount(generatePrivateKey());
  readonly api: Client<paths>;
  member!: MemberRead;
  #token: string | undefined;
  #until = 0;

  private constructor(
    gateway: string,
    readonly name: string,
    readonly email = `${crypto.randomUUID()}@example.com`,
  ) {
    const anonymous = connect(gateway);
    this.api = connect(gateway, {
      patienceMs: 60_000,
      token: async () => {
        if (Date.now() > this.#until) {
          const session = await answerOf(anonymous.POST("/v1/sessions", { body: { email, password: PASSWORD } }));
          this.#token = session.access_token;
          this.#until = Date.now() + 500 * session.expires_in;
        }
        return this.#token;
      },
    });
  }

  /** Sign up, referred by the owner of a code or by nobody. */
  static async register(gateway: string, name: string, role: "client" | "talent" | "connector", code?: string): Promise<Person> {
    const person = new Person(gateway, name);
    const body = { email: person.email, password: PASSWORD, display_name: name, roles: [role], ...(code ? { referral_code: code } : {}) };
    person.member = await answerOf(connect(gateway).POST("/v1/members", { body }));
    return person;
  }

  /** Prove control of the wallet and be paid to it. Source: EIP-4361. */
  async linkWallet(): Promise<void> {
    const address = this.wallet.address;
    const { message } = await answerOf(this.api.POST("/v1/wallet-challenges", { body: { address, purpose: "link" } }));
    const signature = await this.wallet.signMessage({ message });
    await answerOf(this.api.POST("/v1/members/me/wallets", { body: { message, signature } }));
    await answerOf(this.api.PUT("/v1/members/me/payout-wallet", { body: { address } }));
  }

  /** The EIP-712 signature of what the network gives out, unchanged. */
  sign(typed: TypedData): Promise<string> {
    return this.wallet.signTypedData(typed as never);
  }
}
