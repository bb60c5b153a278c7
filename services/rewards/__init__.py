"""Rewards: who earned what for which transaction, why, and how it became BTRST, once and to the wei.

owns: parties, payout_wallets, parameter_versions, prices, price_observations, price_hours, transactions, refunds,
  rewards, reward_steps, ledger_postings, settlements, settlement_leaves, payout_state, epochs, settled_logs,
  chain_figures
publishes: rewards.reward.accrued.v1, rewards.reward.held.v1, rewards.reward.minted.v1, rewards.reward.cancelled.v1,
  rewards.reward.reversed.v1
consumes: identity.member.registered.v1, identity.wallet.payout_changed.v1, jobs.transaction.completed.v1,
  jobs.transaction.refunded.v1, governance.parameter.changed.v1, governance.grant.approved.v1
"""
