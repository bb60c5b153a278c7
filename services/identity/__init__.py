"""Identity: who is a member, how they prove it, which wallets are theirs, who brought them, and what concerns them.

owns: members, referrals, sessions, refresh_tokens, wallet_challenges, wallets, payout_wallets, signing_keys,
  revocations, feed_entries, feed_heads
publishes: identity.member.registered.v1, identity.member.roles_changed.v1, identity.member.suspended.v1,
  identity.referral.attributed.v1, identity.wallet.linked.v1, identity.wallet.payout_changed.v1,
  identity.session.ended.v1
consumes: identity.member.registered.v1, identity.member.roles_changed.v1, identity.member.suspended.v1,
  identity.referral.attributed.v1, identity.wallet.linked.v1, identity.wallet.payout_changed.v1,
  identity.session.ended.v1, jobs.job.opened.v1, jobs.job.closed.v1, jobs.bid.placed.v1, jobs.bid.withdrawn.v1,
  jobs.offer.made.v1, jobs.offer.accepted.v1, jobs.offer.declined.v1, jobs.offer.withdrawn.v1,
  jobs.engagement.started.v1, jobs.engagement.ended.v1, jobs.invoice.submitted.v1, jobs.invoice.approved.v1,
  jobs.invoice.rejected.v1, jobs.transaction.completed.v1, jobs.transaction.refunded.v1,
  rewards.reward.accrued.v1, rewards.reward.held.v1, rewards.reward.minted.v1, rewards.reward.cancelled.v1,
  rewards.reward.reversed.v1, governance.proposal.opened.v1, governance.proposal.closed.v1,
  governance.proposal.submitted.v1, governance.proposal.queued.v1, governance.proposal.executed.v1,
  governance.proposal.cancelled.v1, governance.grant.approved.v1
"""
