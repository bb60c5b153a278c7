"""Identity: who is a member, how they prove it, which wallets are theirs, and who brought them.

owns: members, referrals, sessions, refresh_tokens, wallet_challenges, wallets, payout_wallets, signing_keys,
  revocations
publishes: identity.member.registered.v1, identity.member.roles_changed.v1, identity.member.suspended.v1,
  identity.referral.attributed.v1, identity.wallet.linked.v1, identity.wallet.payout_changed.v1,
  identity.session.ended.v1
consumes: nothing
"""
