// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @dev What the minter and the reserve payer promise alike; each inherits it with its own `target` and `money`.
abstract contract SettlementTest is Fixture {
    address internal constant ALICE = address(0xA);
    address internal constant BOB = address(0xB);
    bytes32 internal constant ROOT = keccak256("leaves");

    /// @dev The contract under test, and what it pays.
    SettlementBase internal target;
    IERC20 internal money;

    event Settled(uint64 indexed firstId, uint32 count, uint256 sum, bytes32 leavesRoot);

    function trySettle(uint64 firstId, uint256 bytesOfIds, bytes32[] memory packed) internal {
        vm.prank(signer);
        target.settle(firstId, new bytes(bytesOfIds), ROOT, packed);
    }

    /// @dev The error that refuses a word without wei.
    function emptyWord() internal pure virtual returns (bytes4);

    /// @dev Settles the next `count` rewards as one word.
    function settleNext(address account, uint96 amount, uint256 count) internal {
        trySettle(target.nextId(), 16 * count, words(word(account, amount)));
    }

    function test_settles_merged_words_and_says_so() public {
        bytes32[] memory packed = new bytes32[](2);
        (packed[0], packed[1]) = (word(ALICE, 3e18), word(BOB, 1e18));
        vm.expectEmit();
        emit Settled(1, 5, 4e18, ROOT);
        trySettle(1, 16 * 5, packed);
        vm.assertEq(target.nextId(), 6);
        vm.assertEq(money.balanceOf(ALICE), 3e18);
        vm.assertEq(money.balanceOf(BOB), 1e18);
    }

    function test_state_is_one_slot() public {
        settleNext(ALICE, 4e18, 3);
        uint256 slot = uint256(vm.load(address(target), 0));
        vm.assertEq(uint96(slot), CAPACITY - 4e18);
        vm.assertEq(uint48(slot >> 96), block.timestamp);
        vm.assertEq(uint48(slot >> 144), 0);
        vm.assertEq(uint64(slot >> 192), 4);
    }

    function testFuzz_any_other_first_id_reverts(uint64 firstId, uint8 before) public {
        if (before != 0) settleNext(ALICE, 1, before);
        uint64 next = uint64(1) + before;
        if (firstId == next) ++firstId;
        bytes32[] memory packed = words(word(ALICE, 1));
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.WrongFirstId.selector, firstId, next));
        target.settle(firstId, new bytes(16), ROOT, packed);
        vm.assertEq(target.nextId(), next);
    }

    function test_the_same_run_cannot_settle_twice() public {
        trySettle(1, 32, words(word(ALICE, 1e18)));
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.WrongFirstId.selector, 1, 3));
        vm.prank(signer);
        target.settle(1, new bytes(32), ROOT, words(word(ALICE, 1e18)));
        vm.assertEq(money.balanceOf(ALICE), 1e18);
    }

    function testFuzz_only_the_signer_settles(address caller) public {
        if (caller == signer) caller = ALICE;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotSigner.selector, caller));
        target.settle(1, new bytes(16), ROOT, words(word(ALICE, 1)));
    }

    function test_words_are_at_least_one_and_at_most_the_rewards() public {
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.BadWordCount.selector, 0, 1));
        target.settle(1, new bytes(16), ROOT, new bytes32[](0));
        bytes32[] memory packed = new bytes32[](2);
        (packed[0], packed[1]) = (word(ALICE, 1), word(BOB, 1));
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.BadWordCount.selector, 2, 1));
        target.settle(1, new bytes(16), ROOT, packed);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.BadWordCount.selector, 1, 0));
        target.settle(1, "", ROOT, words(word(ALICE, 1)));
    }

    function testFuzz_reward_ids_are_whole(uint16 length) public {
        if (length % 16 == 0) ++length;
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.BadRewardIds.selector, uint256(length)));
        target.settle(1, new bytes(length), ROOT, words(word(ALICE, 1)));
    }

    function testFuzz_the_bucket_limits_and_refills(uint96 first, uint96 second, uint32 elapsed) public {
        first = uint96(clamp(first, 1, CAPACITY));
        settleNext(ALICE, first, 1);
        vm.warp(block.timestamp + elapsed);
        uint256 available = CAPACITY - first + uint256(elapsed) * REFILL;
        if (available > CAPACITY) available = CAPACITY;
        vm.assertEq(target.availableWei(), available);
        second = uint96(clamp(second, 1, CAPACITY));
        vm.prank(signer);
        if (second > available) {
            vm.expectRevert(abi.encodeWithSelector(SettlementBase.RateLimited.selector, second, available));
        }
        target.settle(2, new bytes(16), ROOT, words(word(BOB, second)));
        vm.assertEq(target.nextId(), second > available ? 2 : 3);
    }

    function test_a_pause_stops_paying_and_lapses_by_itself() public {
        uint48 until = uint48(block.timestamp + 14 days);
        vm.prank(guardian);
        target.pause(until);
        vm.warp(until - 1);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.MinterPaused.selector, until));
        target.settle(1, new bytes(16), ROOT, words(word(ALICE, 1)));
        vm.warp(until);
        settleNext(ALICE, 1, 1);
        vm.assertEq(money.balanceOf(ALICE), 1);
    }

    function test_a_pause_is_at_most_14_days_and_never_shorter_than_the_running_one() public {
        uint48 moment = uint48(block.timestamp);
        uint48[3] memory bad = [moment, moment + 14 days + 1, type(uint48).max];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(guardian);
            vm.expectRevert(abi.encodeWithSelector(SettlementBase.BadPause.selector, bad[i]));
            target.pause(bad[i]);
        }
        vm.prank(guardian);
        target.pause(moment + 100);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.BadPause.selector, moment + 100));
        target.pause(moment + 100);
        vm.prank(guardian);
        target.pause(moment + 101);
    }

    function test_the_pause_is_the_guardians_and_its_end_the_timelocks() public {
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotGuardian.selector, address(this)));
        target.pause(uint48(block.timestamp + 1));
        vm.prank(guardian);
        target.pause(uint48(block.timestamp + 1 days));
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotTimelock.selector, guardian));
        target.unpause();
        vm.prank(address(timelock));
        target.unpause();
        settleNext(ALICE, 1, 1);
    }

    function testFuzz_only_the_timelock_changes_settings(address caller) public {
        if (caller == address(timelock)) caller = ALICE;
        bytes memory refusal = abi.encodeWithSelector(SettlementBase.NotTimelock.selector, caller);
        vm.prank(caller);
        vm.expectRevert(refusal);
        target.setLimits(1, 1);
        vm.prank(caller);
        vm.expectRevert(refusal);
        target.setSigner(caller);
        vm.prank(caller);
        vm.expectRevert(refusal);
        target.setGuardian(caller);
    }

    function test_new_limits_keep_what_has_flowed_in() public {
        settleNext(ALICE, CAPACITY, 1);
        vm.warp(block.timestamp + 100);
        vm.prank(address(timelock));
        target.setLimits(CAPACITY * 2, 5e18);
        vm.assertEq(target.availableWei(), 100e18);
        vm.warp(block.timestamp + 10);
        vm.assertEq(target.availableWei(), 150e18);
        vm.prank(address(timelock));
        target.setLimits(7e18, 1);
        vm.assertEq(target.availableWei(), 7e18);
        vm.assertEq(target.nextId(), 2);
    }

    function test_a_new_signer_replaces_the_old_one() public {
        vm.prank(address(timelock));
        target.setSigner(ALICE);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotSigner.selector, signer));
        target.settle(1, new bytes(16), ROOT, words(word(BOB, 1)));
        vm.prank(ALICE);
        target.settle(1, new bytes(16), ROOT, words(word(BOB, 1)));
        vm.assertEq(money.balanceOf(BOB), 1);
    }

    function test_nobody_can_be_paid_nothing() public {
        bytes32[] memory packed = new bytes32[](2);
        (packed[0], packed[1]) = (word(ALICE, 1), word(BOB, 0));
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(emptyWord(), 1));
        target.settle(1, new bytes(32), ROOT, packed);
        vm.assertEq(target.nextId(), 1);
    }

    function test_nothing_goes_to_the_zero_address() public {
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        target.settle(1, new bytes(16), ROOT, words(word(address(0), 1)));
    }

    function test_the_state_slot_is_told() public {
        settleNext(ALICE, 4e18, 3);
        vm.prank(guardian);
        target.pause(uint48(block.timestamp + 60));
        (uint96 available, uint48 last, uint48 until, uint64 next) = target.bucket();
        vm.assertEq(available, CAPACITY - 4e18);
        vm.assertEq(last, block.timestamp);
        vm.assertEq(until, block.timestamp + 60);
        vm.assertEq(until, target.pausedUntil());
        vm.assertEq(next, 4);
    }

    function test_a_new_guardian_replaces_the_old_one() public {
        vm.prank(address(timelock));
        target.setGuardian(ALICE);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotGuardian.selector, guardian));
        target.pause(uint48(block.timestamp + 1));
        vm.prank(ALICE);
        target.pause(uint48(block.timestamp + 1));
    }

    function test_the_timelock_alone_can_end_what_the_guardian_began() public {
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotTimelock.selector, ALICE));
        target.unpause();
    }
}
