// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {vm, Vm} from "./Vm.sol";

/// @dev Does anything that signer, guardian, timelock, deployer and strangers can do to a settlement contract,
/// and keeps books of its own: of the bucket, of each number, and of what the `Settled` logs say.
abstract contract SettlementActor {
    bytes32 private constant SETTLED = keccak256("Settled(uint64,uint32,uint256,bytes32)");
    uint256 public constant PEOPLE = 5;

    uint256 public settlements;
    uint256 public settledRewards;
    uint256 public settledWei;
    uint256 public loggedWei;
    uint256 public allowedWei;
    bool public wronglyAccepted;
    bool public settledTwice;
    mapping(uint64 id => bool) public settled;
    mapping(address account => uint256) public balances;

    SettlementBase internal immutable target;
    IERC20 internal immutable money;
    address internal immutable signer;
    address internal immutable guardian;
    address internal immutable timelock;
    address internal immutable deployer = msg.sender;

    // The bucket as it must be, by our own account.
    uint256 private available;
    uint256 private last = block.timestamp;
    uint256 private capacity;
    uint256 private refill;
    uint256 private pausedUntil;

    constructor(
        SettlementBase target_,
        IERC20 money_,
        address signer_,
        address guardian_,
        address timelock_
    ) {
        (target, money, signer, guardian, timelock) = (target_, money_, signer_, guardian_, timelock_);
        (capacity, refill) = (target_.capacityWei(), target_.refillWeiPerSecond());
        (available, allowedWei) = (capacity, capacity);
    }

    function person(uint256 seed) public pure returns (address) {
        return address(uint160(0xACC0 + seed % PEOPLE));
    }

    function availableWei() public view returns (uint256) {
        uint256 now_ = available + (block.timestamp - last) * refill;
        return now_ < capacity ? now_ : capacity;
    }

    /// @dev Wei that can be paid at all: left below the cap, or in the reserve.
    function payableWei() public view virtual returns (uint256);

    /// @dev A run of `count` rewards in `count` or fewer words, sometimes too much, sometimes unmerged.
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
        bool due = sum <= availableWei() && sum <= payableWei() && block.timestamp >= pausedUntil;
        uint64 next = target.nextId();
        vm.recordLogs();
        vm.prank(signer);
        try target.settle(next, new bytes(16 * uint256(count)), bytes32(seed), packed) {
            if (!due) wronglyAccepted = true;
            (available, last) = (availableWei() - sum, block.timestamp);
            settledWei += sum;
            settledRewards += count;
            ++settlements;
            for (uint64 id = next; id < next + count; ++id) {
                if (settled[id]) settledTwice = true;
                settled[id] = true;
            }
            for (uint256 i = 0; i < wordCount; ++i) {
                balances[person(seed + i)] += uint96(uint256(packed[i]));
            }
            readLogs(next, count);
        } catch {
            if (due) wronglyAccepted = true;
        }
    }

    function settleOutOfTurn(uint64 firstId, uint96 amount) external {
        uint64 next = target.nextId();
        // Near the next number too, where a run would overlap an earlier one.
        if (amount % 2 == 0) firstId = next - 1 - firstId % (next < 20 ? next : 20);
        if (firstId == next) return;
        vm.prank(signer);
        try target.settle(firstId, new bytes(16 * 30), 0, oneWord(amount)) {
            wronglyAccepted = true;
        } catch {}
    }

    /// @dev Whoever deployed it all, or anybody else, tries every door.
    function trespass(uint256 seed, uint96 amount) external {
        address who = seed % 3 == 0 ? person(seed) : deployer;
        uint64 next = target.nextId();
        bytes[6] memory calls = [
            abi.encodeCall(SettlementBase.settle, (next, new bytes(16), bytes32(0), oneWord(amount))),
            abi.encodeCall(SettlementBase.pause, (uint48(block.timestamp + 1))),
            abi.encodeCall(SettlementBase.unpause, ()),
            abi.encodeCall(SettlementBase.setLimits, (type(uint96).max, 1)),
            abi.encodeCall(SettlementBase.setSigner, (who)),
            abi.encodeCall(SettlementBase.setGuardian, (who))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            attempt(who, address(target), calls[i]);
        }
        trespassFurther(who, amount);
    }

    function pause(uint32 length) external {
        uint48 until = uint48(block.timestamp + 1 + length % 2 days);
        if (until <= pausedUntil) return;
        vm.prank(guardian);
        target.pause(until);
        pausedUntil = until;
    }

    function unpause() external {
        vm.prank(timelock);
        target.unpause();
        pausedUntil = 0;
    }

    /// @dev Up to four times the first capacity, or a quarter of it; refill up to a first capacity a day.
    function setLimits(uint96 capacity_, uint96 refill_) external {
        (capacity_, refill_) = (250_000e18 + capacity_ % 4_000_000e18, refill_ % 12e18);
        uint256 flowedIn = availableWei();
        vm.prank(timelock);
        target.setLimits(capacity_, refill_);
        available = flowedIn < capacity_ ? flowedIn : capacity_;
        (last, capacity, refill) = (block.timestamp, capacity_, refill_);
    }

    function wait(uint32 time) external {
        uint256 elapsed = time % 1 days;
        allowedWei += elapsed * refill;
        vm.warp(block.timestamp + elapsed);
    }

    /// @dev More doors of the inheriting actor's contracts.
    function trespassFurther(address who, uint96 amount) internal virtual;

    function attempt(address who, address at, bytes memory call) internal {
        vm.prank(who);
        (bool accepted,) = at.call(call);
        if (accepted) wronglyAccepted = true;
    }

    function oneWord(uint96 amount) internal pure returns (bytes32[] memory packed) {
        packed = new bytes32[](1);
        packed[0] = bytes32((uint256(uint160(person(0))) << 96) | (1 + amount % 1e18));
    }

    /// @dev Exactly one `Settled` of the target, for this run.
    function readLogs(uint64 firstId, uint256 count) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 found = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(target) || logs[i].topics[0] != SETTLED) continue;
            (uint32 told, uint256 sum,) = abi.decode(logs[i].data, (uint32, uint256, bytes32));
            if (uint256(logs[i].topics[1]) != firstId || told != count) wronglyAccepted = true;
            loggedWei += sum;
            ++found;
        }
        if (found != 1) wronglyAccepted = true;
    }
}

/// @dev What holds of every settlement contract, whatever its actor did.
abstract contract SettlementInvariants {
    function books() internal view virtual returns (SettlementActor);

    function settlement() internal view virtual returns (SettlementBase);

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(books());
    }

    function invariant_each_number_below_the_next_was_settled_once_and_no_other() external view {
        SettlementActor actor = books();
        uint64 next = settlement().nextId();
        vm.assertEq(next, 1 + actor.settledRewards(), "next id");
        // As many as there are numbers below the next, and none of them twice: so each of them once.
        vm.assertFalse(actor.settledTwice());
        vm.assertFalse(actor.settled(0));
        vm.assertTrue(next == 1 || (actor.settled(1) && actor.settled(next - 1)));
        vm.assertFalse(actor.settled(next));
    }

    function invariant_the_logs_sum_up_to_what_was_paid() external view {
        vm.assertEq(books().loggedWei(), books().settledWei(), "sum of Settled");
    }

    function invariant_no_more_is_paid_than_the_bucket_lets_through() external view {
        SettlementActor actor = books();
        vm.assertLe(actor.settledWei(), actor.allowedWei(), "rate");
        vm.assertEq(settlement().availableWei(), actor.availableWei(), "bucket");
        vm.assertLe(settlement().availableWei(), settlement().capacityWei(), "capacity");
    }

    function invariant_nothing_forbidden_was_accepted_and_nothing_allowed_refused() external view {
        vm.assertFalse(books().wronglyAccepted());
    }
}
