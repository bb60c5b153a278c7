// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {
    GovernorCountingSimple
} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorNoncesKeyed} from "@openzeppelin/contracts/governance/extensions/GovernorNoncesKeyed.sol";
import {
    GovernorPreventLateQuorum
} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {
    GovernorTimelockControl
} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title The on-chain vote of the BTRST Network
/// @notice One BTRST is one vote. A proposal can only carry calls from a list fixed at deployment, and no value.
/// What passes waits in the timelock. Treasury tokens neither vote nor count towards the quorum.
/// @dev GovernorSettings stands before GovernorPreventLateQuorum, whose constructor reads the voting period.
contract BTRSTGovernor is
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorNoncesKeyed,
    GovernorTimelockControl
{
    /// @notice Times in seconds, threshold and floor in wei, the quorum fraction in percent.
    struct Settings {
        uint48 votingDelay;
        uint32 votingPeriod;
        uint48 lateQuorumExtension;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint256 quorumFloor;
    }

    /// @notice A call that proposals may carry. The zero target stands for the governor itself.
    struct Call {
        address target;
        bytes4 selector;
    }

    /// @notice Votes delegated here are left out of the quorum.
    address public constant NON_VOTING = 0x000000000000000000000000000000000000dEaD;

    /// @notice The quorum is never below this many wei of votes.
    uint256 public immutable quorumFloor;
    /// @notice Carries passed off-chain proposals on chain; needs no votes of its own.
    address public submitter;
    /// @notice Whether proposals may carry a call. Nothing writes it after the constructor.
    mapping(address target => mapping(bytes4 selector => bool)) public callAllowed;

    event CallAllowed(address indexed target, bytes4 indexed selector);
    event SubmitterSet(address indexed previous, address indexed current);

    error GovernorCallNotAllowed(address target, bytes4 selector);
    error GovernorValueNotAllowed(uint256 value);

    constructor(
        IVotes token_,
        TimelockController timelock_,
        address submitter_,
        Settings memory settings,
        Call[] memory calls
    )
        Governor("BTRST Governor")
        GovernorSettings(settings.votingDelay, settings.votingPeriod, settings.proposalThreshold)
        GovernorVotes(token_)
        GovernorVotesQuorumFraction(settings.quorumPercent)
        GovernorPreventLateQuorum(settings.lateQuorumExtension)
        GovernorTimelockControl(timelock_)
    {
        quorumFloor = settings.quorumFloor;
        submitter = submitter_;
        emit SubmitterSet(address(0), submitter_);
        for (uint256 i = 0; i < calls.length; ++i) {
            address target = calls[i].target == address(0) ? address(this) : calls[i].target;
            callAllowed[target][calls[i].selector] = true;
            emit CallAllowed(target, calls[i].selector);
        }
    }

    /// @notice Proposes. The description must end in `#proposer=0x…`, the address of the caller.
    function propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description
    ) public override returns (uint256) {
        if (msg.sender != submitter) {
            return super.propose(targets, values, calldatas, description);
        }
        if (!_isValidDescriptionForProposer(msg.sender, description)) {
            revert GovernorRestrictedProposer(msg.sender);
        }
        return _propose(targets, values, calldatas, description, msg.sender);
    }

    /// @notice Replaces the submitter; only by a vote.
    function setSubmitter(address next) external onlyGovernance {
        emit SubmitterSet(submitter, next);
        submitter = next;
    }

    /// @notice The votes needed at a time: a fraction of all that can vote, and at least the floor.
    function quorum(uint256 timepoint)
        public
        view
        override(Governor, GovernorVotesQuorumFraction)
        returns (uint256)
    {
        uint256 voting = token().getPastTotalSupply(timepoint) - token().getPastVotes(NON_VOTING, timepoint);
        return Math.max(quorumFloor, Math.mulDiv(voting, quorumNumerator(timepoint), quorumDenominator()));
    }

    function _propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description,
        address proposer
    ) internal override returns (uint256) {
        for (uint256 i = 0; i < targets.length && i < values.length && i < calldatas.length; ++i) {
            if (values[i] != 0) revert GovernorValueNotAllowed(values[i]);
            // Shorter data reads as padded with zeros, which could look like a selector that ends in them.
            bytes4 selector = bytes4(calldatas[i]);
            if (calldatas[i].length < 4 || !callAllowed[targets[i]][selector]) {
                revert GovernorCallNotAllowed(targets[i], selector);
            }
        }
        return super._propose(targets, values, calldatas, description, proposer);
    }

    /// @dev Without the marker anybody could copy a pending proposal, propose it first and cancel it.
    function _isValidDescriptionForProposer(address proposer, string memory description)
        internal
        view
        override
        returns (bool)
    {
        bytes memory text = bytes(description);
        if (text.length < 52) return false;
        bytes10 marker;
        assembly ("memory-safe") {
            marker := mload(add(add(text, 0x20), sub(mload(text), 52)))
        }
        return marker == bytes10("#proposer=") && super._isValidDescriptionForProposer(proposer, description);
    }

    // What follows only names the parents that share a function.

    function state(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (ProposalState)
    {
        return super.state(proposalId);
    }

    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }

    function _validateVoteSig(uint256 proposalId, uint8 support, address voter, bytes memory signature)
        internal
        override(Governor, GovernorNoncesKeyed)
        returns (bool)
    {
        return super._validateVoteSig(proposalId, support, voter, signature);
    }

    function _validateExtendedVoteSig(
        uint256 proposalId,
        uint8 support,
        address voter,
        string memory reason,
        bytes memory params,
        bytes memory signature
    ) internal override(Governor, GovernorNoncesKeyed) returns (bool) {
        return super._validateExtendedVoteSig(proposalId, support, voter, reason, params, signature);
    }

    function _useCheckedNonce(address owner, uint256 nonce) internal override(Nonces, GovernorNoncesKeyed) {
        super._useCheckedNonce(owner, nonce);
    }
}
