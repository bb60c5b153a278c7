"""The jobs service: from a posted job to a paid invoice, and back by refund.

owns: jobs, job_search, bids, offers, engagements, invoices, payments, transactions, refunds, parameters
publishes: jobs.job.opened.v1, jobs.job.closed.v1, jobs.bid.placed.v1, jobs.bid.withdrawn.v1,
  jobs.offer.made.v1, jobs.offer.accepted.v1, jobs.offer.declined.v1, jobs.offer.withdrawn.v1,
  jobs.engagement.started.v1, jobs.engagement.ended.v1, jobs.invoice.submitted.v1, jobs.invoice.approved.v1,
  jobs.invoice.rejected.v1, jobs.transaction.completed.v1, jobs.transaction.refunded.v1
consumes: governance.parameter.changed.v1
"""
