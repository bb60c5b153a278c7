"""The governance service: proposals, signed votes, voting power, delegations, and the parameters in force.

owns: proposals, votes, vote_checkpoints, supply_checkpoints, indexed_blocks, parameter_versions, delegations
publishes: governance.proposal.opened.v1, governance.proposal.closed.v1, governance.parameter.changed.v1
consumes:
"""
