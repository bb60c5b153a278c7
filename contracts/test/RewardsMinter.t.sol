// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RewardsMinter} from "../src/RewardsMinter.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

contract RewardsMinterTest is Fixture {
    address private constant ALICE = address(0xA);
    address private constant BOB = address(0xB);
    bytes32 private constant ROOT = keccak256("leaves");

    event Settled(uint64 indexed firstId, uint32 count, uint256 sum, bytes32 leavesRoot);

    function trySettle(uint64 firstId, uint256 bytesOfIds, bytes32[] memory packed) private {
        vm.prank(signer);
        minter.settle(firstId, new bytes(bytesOfIds), ROOT, packed);
    }

    function test_settles_merged_words_and_says_so() public {
        bytes32[] memory packed = new bytes32[](2);
        (packed[0], packed[1]) = (word(ALICE, 3e18), word(BOB, 1e18));
        vm.expectEmit();
        emit Settled(1, 5, 4e18, ROOT);
        trySettle(1, 16 * 5, packed);
        vm.assertEq(minter.nextId(), 6);
        vm.assertEq(token.balanceOf(ALICE), 3e18);
        vm.assertEq(token.balanceOf(BOB), 1e18);
    }

    function test_state_is_one_slot() public {
        settle(ALICE, 4e18, 3);
        uint256 slot = uint256(vm.load(address(minter), 0));
        vm.assertEq(uint96(slot), CAPACITY - 4e18);
        vm.assertEq(uint48(slot >> 96), block.timestamp);
        vm.assertEq(uint48(slot >> 144), 0);
        vm.assertEq(uint64(slot >> 192), 4);
    }

    function testFuzz_any_other_first_id_reverts(uint64 firstId, uint8 before) public {
        if (before != 0) settle(ALICE, 1, before);
        uint64 next = uint64(1) + before;
        if (firstId == next) ++firstId;
        bytes32[] memory packed = words(word(ALICE, 1));
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.WrongFirstId.selector, firstId, next));
        minter.settle(firstId, new bytes(16), ROOT, packed);
        vm.assertEq(minter.nextId(), next);
    }

    function test_the_same_run_cannot_settle_twice() public {
        trySettle(1, 32, words(word(ALICE, 1e18)));
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.WrongFirstId.selector, 1, 3));
        vm.prank(signer);
        minter.settle(1, new bytes(32), ROOT, words(word(ALICE, 1e18)));
        vm.assertEq(token.balanceOf(ALICE), 1e18);
    }

    function testFuzz_only_the_signer_settles(address caller) public {
        if (caller == signer) caller = ALICE;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.NotSigner.selector, caller));
        minter.settle(1, new bytes(16), ROOT, words(word(ALICE, 1)));
    }

    function test_words_are_at_least_one_and_at_most_the_rewards() public {
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.BadWordCount.selector, 0, 1));
        minter.settle(1, new bytes(16), ROOT, new bytes32[](0));
        bytes32[] memory packed = new bytes32[](2);
        (packed[0], packed[1]) = (word(ALICE, 1), word(BOB, 1));
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.BadWordCount.selector, 2, 1));
        minter.settle(1, new bytes(16), ROOT, packed);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.BadWordCount.selector, 1, 0));
        minter.settle(1, "", ROOT, words(word(ALICE, 1)));
    }

    function testFuzz_reward_ids_are_whole(uint16 length) public {
        if (length % 16 == 0) ++length;
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.BadRewardIds.selector, uint256(length)));
        minter.settle(1, new bytes(length), ROOT, words(word(ALICE, 1)));
    }

    function testFuzz_the_bucket_limits_and_refills(uint96 first, uint96 second, uint32 elapsed) public {
        first = uint96(clamp(first, 1, CAPACITY));
        settle(ALICE, first, 1);
        vm.warp(block.timestamp + elapsed);
        uint256 available = CAPACITY - first + uint256(elapsed) * REFILL;
        if (available > CAPACITY) available = CAPACITY;
        vm.assertEq(minter.availableWei(), available);
        second = uint96(clamp(second, 1, CAPACITY));
        vm.prank(signer);
        if (second > available) {
            vm.expectRevert(abi.encodeWithSelector(RewardsMinter.RateLimited.selector, second, available));
        }
        minter.settle(2, new bytes(16), ROOT, words(word(BOB, second)));
        vm.assertEq(minter.nextId(), second > available ? 2 : 3);
    }

    function test_a_pause_stops_minting_and_lapses_by_itself() public {
        uint48 until = uint48(block.timestamp + 14 days);
        vm.prank(guardian);
        minter.pause(until);
        vm.warp(until - 1);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.MinterPaused.selector, until));
        minter.settle(1, new bytes(16), ROOT, words(word(ALICE, 1)));
        vm.warp(until);
        settle(ALICE, 1, 1);
        vm.assertEq(token.balanceOf(ALICE), 1);
    }

    function test_a_pause_is_at_most_14_days_and_never_shorter_than_the_running_one() public {
        uint48 moment = uint48(block.timestamp);
        uint48[3] memory bad = [moment, moment + 14 days + 1, type(uint48).max];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(guardian);
            vm.expectRevert(abi.encodeWithSelector(RewardsMinter.BadPause.selector, bad[i]));
            minter.pause(bad[i]);
        }
        vm.prank(guardian);
        minter.pause(moment + 100);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.BadPause.selector, moment + 100));
        minter.pause(moment + 100);
        vm.prank(guardian);
        minter.pause(moment + 101);
    }

    function test_the_pause_is_the_guardians_and_its_end_the_timelocks() public {
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.NotGuardian.selector, address(this)));
        minter.pause(uint48(block.timestamp + 1));
        vm.prank(guardian);
        minter.pause(uint48(block.timestamp + 1 days));
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.NotTimelock.selector, guardian));
        minter.unpause();
        vm.prank(address(timelock));
        minter.unpause();
        settle(ALICE, 1, 1);
    }

    function testFuzz_only_the_timelock_changes_settings(address caller) public {
        if (caller == address(timelock)) caller = ALICE;
        bytes memory refusal = abi.encodeWithSelector(RewardsMinter.NotTimelock.selector, caller);
        vm.prank(caller);
        vm.expectRevert(refusal);
        minter.setLimits(1, 1);
        vm.prank(caller);
        vm.expectRevert(refusal);
        minter.setSigner(caller);
        vm.prank(caller);
        vm.expectRevert(refusal);
        minter.setGuardian(caller);
    }

    function test_new_limits_keep_what_has_flowed_in() public {
        settle(ALICE, CAPACITY, 1);
        vm.warp(block.timestamp + 100);
        vm.prank(address(timelock));
        minter.setLimits(CAPACITY * 2, 5e18);
        vm.assertEq(minter.availableWei(), 100e18);
        vm.warp(block.timestamp + 10);
        vm.assertEq(minter.availableWei(), 150e18);
        vm.prank(address(timelock));
        minter.setLimits(7e18, 1);
        vm.assertEq(minter.availableWei(), 7e18);
        vm.assertEq(minter.nextId(), 2);
    }

    function test_a_new_signer_replaces_the_old_one() public {
        vm.prank(address(timelock));
        minter.setSigner(ALICE);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(RewardsMinter.NotSigner.selector, signer));
        minter.settle(1, new bytes(16), ROOT, words(word(BOB, 1)));
        vm.prank(ALICE);
        minter.settle(1, new bytes(16), ROOT, words(word(BOB, 1)));
        vm.assertEq(token.balanceOf(BOB), 1);
    }
}
