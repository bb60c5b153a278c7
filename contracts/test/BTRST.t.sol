// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Capped} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import {BTRST} from "../src/BTRST.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

contract BTRSTTest is Fixture {
    uint256 private constant KEY = 0xD00D;
    address private immutable alice = vm.addr(KEY);
    address private constant BOB = address(0xB0B0);
    address private constant LOCKER = address(0x10C8);

    event Transfer(address indexed from, address indexed to, uint256 value);

    function test_genesis_is_the_treasurys_and_never_votes() public view {
        vm.assertEq(token.totalSupply(), 115_000_000e18);
        vm.assertEq(token.balanceOf(address(timelock)), 115_000_000e18);
        vm.assertEq(token.delegates(address(timelock)), token.NON_VOTING());
        vm.assertEq(token.getVotes(token.NON_VOTING()), 115_000_000e18);
        vm.assertEq(token.cap() - token.totalSupply(), 135_000_000e18);
    }

    function test_genesis_allocations_come_out_of_the_treasurys_part() public {
        BTRST.Allocation[] memory list = new BTRST.Allocation[](2);
        list[0] = BTRST.Allocation(alice, 1_000e18);
        list[1] = BTRST.Allocation(BOB, 5);
        BTRST other = new BTRST(address(this), address(this), address(timelock), list);
        vm.assertEq(other.totalSupply(), 115_000_000e18);
        vm.assertEq(other.balanceOf(alice), 1_000e18);
        vm.assertEq(other.balanceOf(BOB), 5);
        vm.assertEq(other.balanceOf(address(timelock)), 115_000_000e18 - 1_000e18 - 5);
    }

    function test_it_cannot_be_deployed_without_admin_minter_or_treasury() public {
        address[3] memory given = [address(1), address(2), address(3)];
        for (uint256 i = 0; i < 3; ++i) {
            address kept = given[i];
            given[i] = address(0);
            vm.expectRevert(BTRST.BTRSTZeroAddress.selector);
            new BTRST(given[0], given[1], given[2], allocations());
            given[i] = kept;
        }
    }

    function test_genesis_cannot_give_away_more_than_there_is() public {
        BTRST.Allocation[] memory list = new BTRST.Allocation[](1);
        list[0] = BTRST.Allocation(alice, 115_000_000e18 + 1);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        new BTRST(address(this), address(this), address(timelock), list);
    }

    function test_the_treasury_cannot_delegate_elsewhere() public {
        vm.prank(address(timelock));
        vm.expectRevert(BTRST.BTRSTTreasuryNeverVotes.selector);
        token.delegate(alice);
    }

    function test_only_the_minter_mints_and_the_deployer_is_nobody() public {
        bytes32 role = token.MINTER_ROLE();
        vm.assertTrue(token.hasRole(role, address(minter)));
        vm.assertFalse(token.hasRole(role, address(this)));
        vm.assertFalse(token.hasRole(token.DEFAULT_ADMIN_ROLE(), address(this)));
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), role
            )
        );
        token.mintPacked(words(word(alice, 1)));
    }

    function test_packed_mint_tells_of_each_mint_in_logs() public {
        bytes32[] memory packed = new bytes32[](2);
        (packed[0], packed[1]) = (word(alice, 3e18), word(BOB, 4e18));
        vm.expectEmit();
        emit Transfer(address(0), alice, 3e18);
        vm.expectEmit();
        emit Transfer(address(0), BOB, 4e18);
        vm.prank(address(minter));
        vm.assertEq(token.mintPacked(packed), 7e18);
        vm.assertEq(token.balanceOf(address(minter)), 0);
    }

    function test_packed_mint_refuses_empty_words_and_no_account() public {
        vm.prank(address(minter));
        vm.expectRevert(abi.encodeWithSelector(BTRST.BTRSTEmptyWord.selector, 0));
        token.mintPacked(words(word(alice, 0)));
        vm.prank(address(minter));
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        token.mintPacked(words(word(address(0), 1)));
    }

    function test_the_cap_holds_to_the_wei() public {
        uint96 left = 135_000_000e18;
        vm.prank(address(minter));
        token.mintPacked(words(word(alice, left)));
        vm.assertEq(token.totalSupply(), 250_000_000e18);
        vm.prank(address(minter));
        vm.expectRevert(
            abi.encodeWithSelector(ERC20Capped.ERC20ExceededCap.selector, 250_000_000e18 + 1, 250_000_000e18)
        );
        token.mintPacked(words(word(alice, 1)));
    }

    function testFuzz_the_cap_holds(uint96 first, uint96 second) public {
        uint256 mintable = token.MAX_SUPPLY() - token.totalSupply();
        uint96[2] memory amounts = [first, second];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 before = token.totalSupply();
            vm.prank(address(minter));
            try token.mintPacked(words(word(alice, amounts[i]))) {
                vm.assertTrue(amounts[i] != 0 && amounts[i] <= mintable);
                mintable -= amounts[i];
            } catch {
                vm.assertTrue(amounts[i] == 0 || amounts[i] > mintable);
                vm.assertEq(token.totalSupply(), before);
            }
        }
    }

    function testFuzz_packed_mint_pays_each_word(uint96[8] memory amounts) public {
        bytes32[] memory packed = new bytes32[](8);
        uint256 sum = 0;
        for (uint256 i = 0; i < 8; ++i) {
            uint96 amount = uint96(clamp(amounts[i], 1, 1_000_000e18));
            packed[i] = word(address(uint160(0x1000 + i)), amount);
            sum += amount;
        }
        vm.prank(address(minter));
        vm.assertEq(token.mintPacked(packed), sum);
        for (uint256 i = 0; i < 8; ++i) {
            vm.assertEq(token.balanceOf(address(uint160(0x1000 + i))), uint96(uint256(packed[i])));
        }
        vm.assertEq(token.totalSupply(), 115_000_000e18 + sum);
    }

    function test_nobody_locks_before_a_locker_is_appointed() public {
        vm.assertEq(token.locker(), address(0));
        vm.prank(address(timelock));
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        token.lock(alice, 0);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        token.appointLocker(LOCKER);
    }

    function test_a_new_locker_replaces_the_old_one() public {
        appointLocker(LOCKER);
        appointLocker(BOB);
        vm.assertEq(token.locker(), BOB);
        vm.assertFalse(token.hasRole(token.LOCKER_ROLE(), LOCKER));
        vm.assertTrue(token.hasRole(token.LOCKER_ROLE(), BOB));
        appointLocker(address(0));
        vm.assertFalse(token.hasRole(token.LOCKER_ROLE(), BOB));
    }

    function testFuzz_locked_wei_stay_and_the_rest_moves(uint256 balance, uint256 held, uint256 moved)
        public
    {
        balance = clamp(balance, 1, CAPACITY);
        held = clamp(held, 0, balance);
        moved = clamp(moved, 0, balance);
        appointLocker(LOCKER);
        settle(alice, uint96(balance), 1);
        vm.prank(LOCKER);
        token.lock(alice, held);
        vm.prank(alice);
        if (moved > balance - held) {
            vm.expectRevert(abi.encodeWithSelector(BTRST.BTRSTLocked.selector, alice, balance, held, moved));
            token.transfer(BOB, moved);
        } else {
            token.transfer(BOB, moved);
            vm.assertEq(token.balanceOf(BOB), moved);
        }
    }

    function test_locked_wei_can_neither_be_locked_twice_nor_pulled() public {
        appointLocker(LOCKER);
        settle(alice, 10e18, 1);
        vm.prank(LOCKER);
        token.lock(alice, 6e18);
        vm.prank(LOCKER);
        vm.expectRevert(abi.encodeWithSelector(BTRST.BTRSTLocked.selector, alice, 10e18, 6e18, 5e18));
        token.lock(alice, 5e18);
        vm.prank(alice);
        token.approve(BOB, 10e18);
        vm.prank(BOB);
        vm.expectPartialRevert(BTRST.BTRSTLocked.selector);
        token.transferFrom(alice, BOB, 5e18);
        vm.prank(alice);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        token.transfer(BOB, 11e18);
    }

    function test_locked_wei_keep_their_vote() public {
        appointLocker(LOCKER);
        settle(alice, 10e18, 1);
        vm.prank(alice);
        token.delegate(alice);
        vm.prank(LOCKER);
        token.lock(alice, 10e18);
        vm.assertEq(token.getVotes(alice), 10e18);
    }

    function test_unlock_and_seize_take_only_what_is_locked() public {
        appointLocker(LOCKER);
        settle(alice, 10e18, 1);
        vm.prank(LOCKER);
        token.lock(alice, 6e18);
        vm.prank(LOCKER);
        token.seize(alice, BOB, 2e18);
        vm.assertEq(token.balanceOf(BOB), 2e18);
        vm.assertEq(token.locked(alice), 4e18);
        vm.prank(LOCKER);
        vm.expectRevert(abi.encodeWithSelector(BTRST.BTRSTUnlockTooMuch.selector, alice, 4e18, 5e18));
        token.seize(alice, BOB, 5e18);
        vm.prank(LOCKER);
        token.unlock(alice, 4e18);
        vm.prank(LOCKER);
        vm.expectPartialRevert(BTRST.BTRSTUnlockTooMuch.selector);
        token.unlock(alice, 1);
        vm.prank(alice);
        token.transfer(BOB, 8e18);
        vm.assertEq(token.balanceOf(alice), 0);
    }

    function test_delegation_by_signature() public {
        settle(alice, 10e18, 1);
        bytes32 content = keccak256(
            abi.encode(
                keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)"),
                alice,
                uint256(0),
                block.timestamp + 60
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), content)));
        token.delegateBySig(alice, 0, block.timestamp + 60, v, r, s);
        vm.assertEq(token.getVotes(alice), 10e18);
        vm.assertEq(token.nonces(alice), 1);
    }

    function test_votes_are_counted_by_timestamp() public view {
        vm.assertEq(token.clock(), block.timestamp);
        vm.assertTrue(keccak256(bytes(token.CLOCK_MODE())) == keccak256("mode=timestamp"));
    }
}
