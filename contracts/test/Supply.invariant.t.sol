// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BTRST} from "../src/BTRST.sol";
import {RewardsMinter} from "../src/RewardsMinter.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @dev Does anything members, signer, guardian, locker and timelock can do, and keeps its own books.
contract Actor {
    uint256 public constant PEOPLE = 5;

    uint256 public settledWei;
    uint256 public settledRewards;
    uint256 public settlements;
    uint256 public allowedWei;
    bool public wronglyAccepted;
    mapping(address account => uint256) public balances;
    mapping(address account => uint256) public held;

    BTRST private immutable token;
    RewardsMinter private immutable minter;
    address private immutable signer;
    address private immutable guardian;
    address private immutable timelock;
    uint256 private immutable start;

    constructor(BTRST token_, RewardsMinter minter_, address signer_, address guardian_, address timelock_) {
        (token, minter, signer, guardian, timelock) = (token_, minter_, signer_, guardian_, timelock_);
        start = block.timestamp;
        allowedWei = minter_.capacityWei();
    }

    function person(uint256 seed) public pure returns (address) {
        return address(uint160(0xACC0 + seed % PEOPLE));
    }

    /// @dev A run of `count` rewards in `count` or fewer words, sometimes too many, sometimes unmerged.
    function settle(uint256 seed, uint8 count, uint8 wordCount, uint96 amount) external {
        seed %= 1 << 128; // room for the sums below
        count = 1 + count % 12;
        wordCount = uint8(1 + wordCount % (count < 6 ? count : 6));
        bytes32[] memory packed = new bytes32[](wordCount);
        uint256 sum = 0;
        for (uint256 i = 0; i < wordCount; ++i) {
            // The draws differ in size by far, so that the bucket sometimes runs dry.
            uint256 wei_ = 1 + amount % (seed % 4 == 0 ? 300_000e18 : 2_000e18);
            packed[i] = bytes32((uint256(uint160(person(seed + i))) << 96) | wei_);
            sum += wei_;
        }
        uint256 available = minter.availableWei();
        bool paused = block.timestamp < minter.pausedUntil();
        uint64 next = minter.nextId();
        vm.prank(signer);
        try minter.settle(next, new bytes(16 * uint256(count)), bytes32(seed), packed) {
            if (sum > available || paused) wronglyAccepted = true;
            settledWei += sum;
            settledRewards += count;
            ++settlements;
            for (uint256 i = 0; i < wordCount; ++i) {
                balances[person(seed + i)] += uint96(uint256(packed[i]));
            }
        } catch {
            if (sum <= available && !paused && token.totalSupply() + sum <= token.cap()) {
                wronglyAccepted = true;
            }
        }
    }

    function settleOutOfTurn(uint64 firstId, uint96 amount) external {
        if (firstId == minter.nextId()) return;
        bytes32[] memory packed = new bytes32[](1);
        packed[0] = bytes32((uint256(uint160(person(0))) << 96) | (1 + amount % 1e18));
        vm.prank(signer);
        try minter.settle(firstId, new bytes(16), 0, packed) {
            wronglyAccepted = true;
        } catch {}
    }

    function mintDirectly(uint256 seed, uint96 amount) external {
        bytes32[] memory packed = new bytes32[](1);
        packed[0] = bytes32((uint256(uint160(person(seed))) << 96) | (1 + amount % 1e18));
        vm.prank(seed % 2 == 0 ? timelock : signer);
        try token.mintPacked(packed) {
            wronglyAccepted = true;
        } catch {}
    }

    function move(uint256 seed, uint256 amount) external {
        (address from, address to) = (person(seed), person(seed / 7));
        amount %= balances[from] + 2;
        bool free = amount + held[from] <= balances[from];
        vm.prank(from);
        try token.transfer(to, amount) {
            if (!free) wronglyAccepted = true;
            balances[from] -= amount;
            balances[to] += amount;
        } catch {
            if (free) wronglyAccepted = true;
        }
    }

    function lock(uint256 seed, uint256 amount) external {
        address account = person(seed);
        amount %= balances[account] + 2;
        try token.lock(account, amount) {
            held[account] += amount;
        } catch {
            if (held[account] + amount <= balances[account]) wronglyAccepted = true;
        }
    }

    function unlock(uint256 seed, uint256 amount) external {
        address account = person(seed);
        amount %= held[account] + 2;
        try token.unlock(account, amount) {
            held[account] -= amount;
        } catch {
            if (amount <= held[account]) wronglyAccepted = true;
        }
    }

    function seize(uint256 seed, uint256 amount) external {
        (address account, address to) = (person(seed), person(seed / 7));
        amount %= held[account] + 2;
        try token.seize(account, to, amount) {
            held[account] -= amount;
            balances[account] -= amount;
            balances[to] += amount;
        } catch {
            if (amount <= held[account]) wronglyAccepted = true;
        }
    }

    function delegate(uint256 seed) external {
        vm.prank(person(seed));
        token.delegate(seed % 3 == 0 ? address(0) : person(seed / 7));
    }

    function pause(uint32 length) external {
        uint48 until = uint48(block.timestamp + 1 + length % 2 days);
        if (until <= minter.pausedUntil()) return;
        vm.prank(guardian);
        minter.pause(until);
    }

    function unpause() external {
        vm.prank(timelock);
        minter.unpause();
    }

    function wait(uint32 time) external {
        uint256 elapsed = time % 1 days;
        allowedWei += elapsed * minter.refillWeiPerSecond();
        vm.warp(block.timestamp + elapsed);
    }
}

contract SupplyInvariants is Fixture {
    Actor private actor;

    function setUp() public override {
        super.setUp();
        actor = new Actor(token, minter, signer, guardian, address(timelock));
        appointLocker(address(actor));
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(actor);
    }

    function test_the_actor_reaches_what_it_is_there_for() external {
        actor.settle(0, 4, 2, 7e18);
        actor.lock(0, 1e18);
        vm.assertEq(actor.settlements(), 1);
        vm.assertEq(token.locked(actor.person(0)), 1e18);
        actor.wait(1 hours);
        actor.settleOutOfTurn(1, 1);
        vm.assertEq(actor.settledRewards(), 5);
    }

    function invariant_supply_is_genesis_and_what_was_settled() external view {
        vm.assertEq(token.totalSupply(), token.GENESIS_SUPPLY() + actor.settledWei(), "supply");
        vm.assertLe(token.totalSupply(), token.cap(), "cap");
        vm.assertEq(token.balanceOf(address(minter)), 0, "the minter keeps nothing");
    }

    function invariant_balances_and_locks_are_as_booked() external view {
        uint256 sum = token.balanceOf(address(timelock));
        for (uint256 i = 0; i < actor.PEOPLE(); ++i) {
            address account = actor.person(i);
            uint256 balance = token.balanceOf(account);
            vm.assertEq(balance, actor.balances(account), "balance");
            vm.assertEq(token.locked(account), actor.held(account), "locked");
            vm.assertLe(token.locked(account), balance, "a lock above the balance");
            sum += balance;
        }
        vm.assertEq(sum, token.totalSupply(), "sum of balances");
    }

    function invariant_ids_have_no_gap() external view {
        vm.assertEq(minter.nextId(), 1 + actor.settledRewards(), "next id");
    }

    function invariant_no_more_is_minted_than_the_bucket_lets_through() external view {
        vm.assertLe(actor.settledWei(), actor.allowedWei(), "rate");
        vm.assertLe(minter.availableWei(), minter.capacityWei(), "bucket");
    }

    function invariant_each_vote_is_delegated_once_and_the_treasurys_never_moves() external view {
        uint256 delegated = 0;
        uint256 votes = 0;
        for (uint256 i = 0; i < actor.PEOPLE(); ++i) {
            address account = actor.person(i);
            if (token.delegates(account) != address(0)) delegated += token.balanceOf(account);
            votes += token.getVotes(account);
        }
        vm.assertEq(votes, delegated, "votes");
        vm.assertEq(token.getVotes(token.NON_VOTING()), token.GENESIS_SUPPLY(), "treasury votes");
    }

    function invariant_nothing_forbidden_was_accepted_and_nothing_allowed_refused() external view {
        vm.assertFalse(actor.wronglyAccepted());
    }
}
