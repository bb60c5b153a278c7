// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {BTRST} from "../src/BTRST.sol";
import {BTRSTGovernor} from "../src/Governor.sol";
import {NetworkParameters} from "../src/NetworkParameters.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @dev Lets a test use nonces as the parents do.
contract OpenGovernor is BTRSTGovernor {
    constructor(
        IVotes token_,
        TimelockController timelock_,
        address submitter_,
        Settings memory settings,
        Call[] memory calls
    ) BTRSTGovernor(token_, timelock_, submitter_, settings, calls) {}

    function useNonce(address owner, uint256 nonce) external {
        _useCheckedNonce(owner, nonce);
    }
}

contract GovernorTest is Fixture {
    uint256 private constant KEY = 0xA;
    address private immutable alice = vm.addr(KEY);
    address private immutable bob = vm.addr(0xB);

    address[] private targets = new address[](1);
    uint256[] private values = new uint256[](1);
    bytes[] private calldatas = new bytes[](1);

    function setUp() public override {
        super.setUp();
        settle(alice, 90e18, 1);
        settle(bob, 60e18, 1);
        vm.prank(alice);
        token.delegate(alice);
        vm.prank(bob);
        token.delegate(bob);
        wait(1);
        aim(address(parameters), newParameters(0, 200));
    }

    function wait(uint256 time) private {
        vm.warp(block.timestamp + time);
    }

    function aim(address target, bytes memory data) private {
        (targets[0], calldatas[0]) = (target, data);
    }

    function newParameters(uint64 version, uint256 rewardBps) private view returns (bytes memory) {
        (bytes32[] memory names, uint256[] memory set) = genesis();
        set[0] = rewardBps;
        return abi.encodeCall(
            NetworkParameters.setParameters, (version, names, set, uint64(block.timestamp + 1 days))
        );
    }

    function description(string memory text, address proposer) private pure returns (string memory) {
        return string.concat(text, "#tally=0x01#proposer=", vm.toString(proposer));
    }

    function propose(address proposer, string memory text) private returns (uint256) {
        string memory full = description(text, proposer);
        vm.prank(proposer);
        return governor.propose(targets, values, calldatas, full);
    }

    function vote(uint256 id, address voter, uint8 support) private {
        vm.prank(voter);
        governor.castVote(id, support);
    }

    function queueAndExecute(string memory text, address proposer) private {
        bytes32 hash = keccak256(bytes(description(text, proposer)));
        governor.queue(targets, values, calldatas, hash);
        wait(TIMELOCK_DELAY);
        governor.execute(targets, values, calldatas, hash);
    }

    function pass(string memory text) private {
        uint256 id = propose(submitter, text);
        wait(VOTING_DELAY + 1);
        vote(id, alice, 1);
        vote(id, bob, 1);
        wait(VOTING_PERIOD);
        queueAndExecute(text, submitter);
    }

    function test_code_fits_the_chain() public view {
        vm.assertLe(address(governor).code.length, 24_576, "the governor's code is too long");
    }

    function test_a_passed_proposal_changes_the_parameters() public {
        pass("raise");
        vm.assertEq(parameters.latestVersion(), 1);
        vm.assertEq(parameters.valueAt(1, "connector_reward_bps"), 200);
    }

    function test_of_two_voted_at_once_the_second_can_never_be_executed() public {
        uint256 first = propose(submitter, "one");
        uint256 second = propose(submitter, "two");
        wait(VOTING_DELAY + 1);
        for (uint256 i = 0; i < 2; ++i) {
            vote(i == 0 ? first : second, alice, 1);
            vote(i == 0 ? first : second, bob, 1);
        }
        wait(VOTING_PERIOD);
        queueAndExecute("one", submitter);
        bytes32 hash = keccak256(bytes(description("two", submitter)));
        governor.queue(targets, values, calldatas, hash);
        wait(TIMELOCK_DELAY);
        vm.expectRevert(abi.encodeWithSelector(NetworkParameters.WrongVersion.selector, 0, 1));
        governor.execute(targets, values, calldatas, hash);
    }

    function test_every_call_on_the_list_can_be_voted() public {
        aim(address(parameters), abi.encodeCall(NetworkParameters.approveGrant, ("grant", "member", 5e18)));
        pass("grant");
        vm.assertTrue(parameters.grantApproved("grant"));
        aim(address(minter), abi.encodeCall(SettlementBase.setLimits, (5e18, 1)));
        pass("limits");
        vm.assertEq(minter.capacityWei(), 5e18);
        vm.prank(guardian);
        minter.pause(uint48(block.timestamp + 10 days));
        aim(address(minter), abi.encodeCall(SettlementBase.unpause, ()));
        pass("unpause");
        vm.assertEq(minter.pausedUntil(), 0);
        aim(address(minter), abi.encodeCall(SettlementBase.setSigner, (alice)));
        pass("signer");
        vm.assertEq(minter.signer(), alice);
        aim(address(minter), abi.encodeCall(SettlementBase.setGuardian, (alice)));
        pass("guardian");
        vm.assertEq(minter.guardian(), alice);
        aim(address(token), abi.encodeCall(BTRST.appointLocker, (bob)));
        pass("locker");
        vm.assertEq(token.locker(), bob);
        aim(address(governor), abi.encodeCall(BTRSTGovernor.setSubmitter, (bob)));
        pass("submitter");
        vm.assertEq(governor.submitter(), bob);
    }

    function testFuzz_no_other_call_can_be_proposed(uint8 which, bytes4 selector, bytes calldata tail)
        public
    {
        address[6] memory all = [
            address(token), address(minter), address(parameters), address(timelock), address(governor), alice
        ];
        address target = all[which % 6];
        if (governor.callAllowed(target, selector)) return;
        aim(target, abi.encodePacked(selector, tail));
        string memory text = description("no", submitter);
        vm.prank(submitter);
        vm.expectRevert(
            abi.encodeWithSelector(BTRSTGovernor.GovernorCallNotAllowed.selector, target, selector)
        );
        governor.propose(targets, values, calldatas, text);
    }

    function test_no_role_treasury_or_bare_call_can_be_proposed() public {
        bytes[5] memory bad = [
            abi.encodeCall(IAccessControl.grantRole, (token.MINTER_ROLE(), alice)),
            abi.encodeWithSignature("transfer(address,uint256)", alice, 1),
            abi.encodeWithSignature("delegate(address)", alice),
            bytes(""),
            hex"000000"
        ];
        string memory text = description("no", submitter);
        for (uint256 i = 0; i < bad.length; ++i) {
            aim(address(token), bad[i]);
            vm.prank(submitter);
            vm.expectPartialRevert(BTRSTGovernor.GovernorCallNotAllowed.selector);
            governor.propose(targets, values, calldatas, text);
        }
    }

    function test_data_shorter_than_a_selector_never_matches_one() public {
        BTRSTGovernor.Call[] memory calls = new BTRSTGovernor.Call[](1);
        calls[0] = BTRSTGovernor.Call(address(token), 0xaabb0000);
        BTRSTGovernor.Settings memory settings = BTRSTGovernor.Settings(1, 1, 1, 0, 4, 1);
        BTRSTGovernor other = new BTRSTGovernor(token, timelock, submitter, settings, calls);
        aim(address(token), hex"aabb");
        string memory text = description("short", submitter);
        vm.prank(submitter);
        vm.expectPartialRevert(BTRSTGovernor.GovernorCallNotAllowed.selector);
        other.propose(targets, values, calldatas, text);
        aim(address(token), hex"aabb0000");
        vm.prank(submitter);
        other.propose(targets, values, calldatas, text);
    }

    function test_no_value_can_be_proposed() public {
        values[0] = 1;
        string memory text = description("no", submitter);
        vm.prank(submitter);
        vm.expectRevert(abi.encodeWithSelector(BTRSTGovernor.GovernorValueNotAllowed.selector, 1));
        governor.propose(targets, values, calldatas, text);
    }

    function test_a_list_of_other_lengths_is_refused() public {
        string memory text = description("no", submitter);
        address[] memory more = new address[](2);
        (more[0], more[1]) = (targets[0], address(timelock));
        vm.prank(submitter);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidProposalLength.selector, 2, 1, 1));
        governor.propose(more, values, calldatas, text);
    }

    function test_members_need_the_threshold_and_the_submitter_does_not() public {
        vm.assertEq(token.getVotes(submitter), 0);
        propose(submitter, "service");
        propose(alice, "member");
        address poor = address(0x9001);
        string memory text = description("poor", poor);
        vm.prank(poor);
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, poor, 0, THRESHOLD)
        );
        governor.propose(targets, values, calldatas, text);
    }

    function test_the_description_names_its_proposer_as_the_very_last_part() public {
        string memory theirs = description("x", submitter);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorRestrictedProposer.selector, alice));
        governor.propose(targets, values, calldatas, theirs);
        string[3] memory bad =
            ["", "no proposer in this text, however long the text may be", string.concat(theirs, " ")];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(submitter);
            vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorRestrictedProposer.selector, submitter));
            governor.propose(targets, values, calldatas, bad[i]);
        }
    }

    function test_quorum_leaves_the_treasury_out_and_has_a_floor() public {
        uint256 then = block.timestamp - 1;
        vm.assertEq(governor.quorum(then), QUORUM_FLOOR);
        settle(alice, 100_000e18, 1);
        wait(1);
        // 4 % of the 100,150 tokens outside the treasury.
        vm.assertEq(governor.quorum(block.timestamp - 1), 4_006e18);
        vm.assertEq(governor.quorum(then), QUORUM_FLOOR);
    }

    function test_below_the_quorum_nothing_passes() public {
        uint256 id = propose(submitter, "quiet");
        wait(VOTING_DELAY + 1);
        vote(id, alice, 1);
        wait(VOTING_PERIOD);
        vm.assertEq(uint256(governor.state(id)), uint256(IGovernor.ProposalState.Defeated));
        bytes32 hash = keccak256(bytes(description("quiet", submitter)));
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        governor.queue(targets, values, calldatas, hash);
    }

    function test_a_late_quorum_extends_the_vote() public {
        uint256 id = propose(submitter, "late");
        wait(VOTING_DELAY + 1);
        vote(id, alice, 1);
        wait(VOTING_PERIOD - 2);
        uint256 deadline = governor.proposalDeadline(id);
        vote(id, bob, 2);
        vm.assertEq(governor.proposalDeadline(id), block.timestamp + LATE_EXTENSION);
        vm.assertTrue(governor.proposalDeadline(id) > deadline);
    }

    function test_votes_come_from_the_snapshot() public {
        uint256 id = propose(submitter, "snap");
        wait(VOTING_DELAY + 1);
        settle(bob, 1_000e18, 1);
        wait(1);
        vote(id, bob, 0);
        (uint256 against,,) = governor.proposalVotes(id);
        vm.assertEq(against, 60e18);
    }

    function ballot(uint256 id, uint256 nonce) private view returns (bytes memory) {
        return signed(keccak256(abi.encode(governor.BALLOT_TYPEHASH(), id, uint8(1), alice, nonce)));
    }

    function signed(bytes32 content) private view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("BTRST Governor"),
                keccak256("1"),
                block.chainid,
                address(governor)
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, keccak256(abi.encodePacked(hex"1901", domain, content)));
        return abi.encodePacked(r, s, v);
    }

    function test_signed_ballots_of_two_proposals_do_not_wait_for_each_other() public {
        uint256 first = propose(submitter, "one");
        uint256 second = propose(submitter, "two");
        wait(VOTING_DELAY + 1);
        uint256 nonce = governor.nonces(alice, uint192(second));
        vm.assertEq(nonce, uint256(uint192(second)) << 64);
        governor.castVoteBySig(second, 1, alice, ballot(second, nonce));
        governor.castVoteBySig(first, 1, alice, ballot(first, uint256(uint192(first)) << 64));
        vm.assertTrue(governor.hasVoted(first, alice) && governor.hasVoted(second, alice));
        vm.assertEq(governor.nonces(alice, uint192(second)), nonce + 1);
        bytes memory again = ballot(second, nonce);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, alice));
        governor.castVoteBySig(second, 1, alice, again);
    }

    function test_a_signed_ballot_with_a_reason_counts_once() public {
        vm.assertEq(governor.proposalThreshold(), THRESHOLD);
        uint256 id = propose(submitter, "with a reason");
        wait(VOTING_DELAY + 1);
        uint256 nonce = governor.nonces(alice, uint192(id));
        bytes memory signature = signed(
            keccak256(
                abi.encode(
                    governor.EXTENDED_BALLOT_TYPEHASH(),
                    id,
                    uint8(1),
                    alice,
                    nonce,
                    keccak256("it is fair"),
                    keccak256("")
                )
            )
        );
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, alice));
        governor.castVoteWithReasonAndParamsBySig(id, 1, alice, "it is not", "", signature);
        governor.castVoteWithReasonAndParamsBySig(id, 1, alice, "it is fair", "", signature);
        vm.assertTrue(governor.hasVoted(id, alice));
        vm.assertEq(governor.nonces(alice, uint192(id)), nonce + 1);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, alice));
        governor.castVoteWithReasonAndParamsBySig(id, 1, alice, "it is fair", "", signature);
    }

    function test_a_proposal_is_cancelled_by_its_proposer_before_the_vote_and_by_nobody_else() public {
        uint256 id = propose(submitter, "second thoughts");
        bytes32 hash = keccak256(bytes(description("second thoughts", submitter)));
        vm.assertTrue(governor.proposalNeedsQueuing(id));
        vm.prank(alice);
        vm.expectPartialRevert(IGovernor.GovernorUnableToCancel.selector);
        governor.cancel(targets, values, calldatas, hash);
        vm.prank(submitter);
        governor.cancel(targets, values, calldatas, hash);
        vm.assertTrue(governor.state(id) == IGovernor.ProposalState.Canceled);
        wait(VOTING_DELAY + 1);
        vm.prank(alice);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        governor.castVote(id, 1);

        id = propose(submitter, "too late");
        wait(VOTING_DELAY + 1);
        vm.prank(submitter);
        vm.expectPartialRevert(IGovernor.GovernorUnableToCancel.selector);
        governor.cancel(targets, values, calldatas, keccak256(bytes(description("too late", submitter))));
    }

    function test_a_nonce_of_any_key_is_used_once_and_in_order() public {
        BTRSTGovernor.Settings memory settings =
            BTRSTGovernor.Settings(VOTING_DELAY, VOTING_PERIOD, LATE_EXTENSION, THRESHOLD, 4, QUORUM_FLOOR);
        OpenGovernor open = new OpenGovernor(token, timelock, submitter, settings, votableCalls());
        uint256 first = uint256(7) << 64;
        open.useNonce(alice, first);
        vm.assertEq(open.nonces(alice, 7), first + 1);
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, alice, first + 1));
        open.useNonce(alice, first);
        open.useNonce(alice, 0);
        vm.assertEq(open.nonces(alice), 1);
    }

    function test_only_the_governor_drives_the_timelock() public {
        bytes32 executor = timelock.EXECUTOR_ROLE();
        vm.assertTrue(timelock.hasRole(executor, address(governor)));
        vm.assertFalse(timelock.hasRole(executor, address(0)));
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        timelock.executeBatch(targets, values, calldatas, 0, 0);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        timelock.scheduleBatch(targets, values, calldatas, 0, 0, TIMELOCK_DELAY);
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x31));
        governor.setSubmitter(alice);
        vm.expectPartialRevert(IGovernor.GovernorOnlyExecutor.selector);
        governor.setSubmitter(alice);
    }
}
