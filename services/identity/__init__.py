"""Identity: who is a member, how they prove it, which wallets are theirs, and who brought them.

owns: members, referrals, sessions, refresh_tokens, wallet_challenges, wallets, payout_wallets, signing_keys, revocations
publishes: MemberRegistered, MemberRolesChanged, MemberSuspended, ReferralAttributed, WalletLinked, WalletPayoutChanged, SessionEnded
consumes:
"""  # noqa: E501
