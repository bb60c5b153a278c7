"""Errors of governance that a caller may see."""

from chassis.errors import Conflict, Forbidden, NotFound, TooManyRequests, Unavailable, Unprocessable


class NotYourWallet(Forbidden):
    """The proposer's wallet is not linked to the caller."""

    code, title = "not_your_wallet", "Link this wallet first"


class UnknownBeneficiary(Unprocessable):
    """A grant names a member that does not exist."""

    code, title = "unknown_beneficiary", "No such member"


class BelowThreshold(Forbidden):
    """The proposer has fewer votes than a proposal needs."""

    code, title = "below_proposal_threshold", "Not enough votes to propose"


class NoVotingPower(Forbidden):
    """The voter had no votes at the snapshot."""

    code, title = "no_voting_power", "No voting power at the snapshot"


class TooManyProposals(Conflict):
    """The author has as many live proposals as one member may have."""

    code, title = "too_many_live_proposals", "Too many live proposals"


class StaleBallot(Conflict):
    """A ballot with this nonce or a higher one is counted already."""

    code, title = "stale_ballot", "A newer ballot is counted"


class DelegationNonceUsed(Conflict):
    """The nonce is not the one the token expects next."""

    code, title = "delegation_nonce", "Not the delegator's next nonce"


class ProposalNotFound(NotFound):
    """No such proposal."""

    title = "Proposal not found"


class AddressNotFound(NotFound):
    """The path holds no address."""

    title = "Not an address"


class IndexBehind(Unavailable):
    """Too few blocks have been indexed to say who has how many votes."""

    code, title = "index_behind", "Voting power is not indexed yet"


class ChainUnavailable(Unavailable):
    """No node answers."""

    code, title = "chain_unavailable", "The chain cannot be asked"


class IdentityUnavailable(Unavailable):
    """The identity service does not answer."""

    code, title = "identity_unavailable", "identity does not answer"


class RelayUnavailable(Unavailable):
    """Nothing is relayed now: no key, or its lane is halted or not open yet."""

    code, title = "relay_unavailable", "The relay does not work now"


class RelayBusy(TooManyRequests):
    """As many relayed chain txs as allowed are on their way."""

    code, title = "relay_busy", "The relay is busy"
