// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Settles earned rewards, each exactly once; how they are paid is the inheriting contract's
/// @notice Rewards are numbered 1, 2, 3… without a gap. `settle` takes the next run of numbers and nothing else,
/// so a reward was settled exactly when its number is below `nextId`, and no storage is spent per reward.
/// A token bucket limits how much can be paid in a time, and a guardian can stop paying for a while.
abstract contract SettlementBase {
    /// @dev The whole changing state, in one storage slot.
    struct Bucket {
        uint96 available; // wei that may be paid at `last`
        uint48 last; // when `available` was true, in seconds
        uint48 pausedUntil; // nothing is paid before this second
        uint64 nextId; // the number of the next reward
    }

    /// @notice The longest a guardian can stop paying at once. A pause lapses by itself.
    uint256 public constant MAX_PAUSE_SECONDS = 14 days;
    /// @notice Bytes of one reward id in `rewardIds`: a UUID. Source: RFC 9562, section 4.
    uint256 public constant REWARD_ID_BYTES = 16;

    /// @notice Changes the limits, the signer and the guardian, and ends a pause early.
    address public immutable timelock;

    Bucket private _bucket;
    /// @notice The only account that may settle.
    address public signer;
    /// @notice Wei the bucket holds when full: the most that one instant can pay.
    uint96 public capacityWei;
    /// @notice The only account that may pause.
    address public guardian;
    /// @notice Wei that flow into the bucket each second.
    uint96 public refillWeiPerSecond;

    /// @param firstId the first reward settled
    /// @param count how many rewards: firstId … firstId + count − 1
    /// @param sum the wei paid for all of them
    /// @param leavesRoot the Merkle root over the rewards' leaves
    event Settled(uint64 indexed firstId, uint32 count, uint256 sum, bytes32 leavesRoot);
    event Paused(uint48 until);
    event Unpaused();
    event LimitsSet(uint96 capacityWei, uint96 refillWeiPerSecond);
    event SignerSet(address indexed previous, address indexed current);
    event GuardianSet(address indexed previous, address indexed current);

    error NotSigner(address caller);
    error NotGuardian(address caller);
    error NotTimelock(address caller);
    error MinterPaused(uint256 until);
    error WrongFirstId(uint64 given, uint64 expected);
    error BadRewardIds(uint256 length);
    error BadWordCount(uint256 words, uint256 rewards);
    error RateLimited(uint256 sum, uint256 available);
    error BadPause(uint256 until);
    error ZeroAddress();

    modifier onlyTimelock() {
        require(msg.sender == timelock, NotTimelock(msg.sender));
        _;
    }

    constructor(
        address timelock_,
        address signer_,
        address guardian_,
        uint96 capacityWei_,
        uint96 refillWeiPerSecond_
    ) {
        require(timelock_ != address(0), ZeroAddress());
        timelock = timelock_;
        _bucket = Bucket(capacityWei_, uint48(block.timestamp), 0, 1);
        (capacityWei, refillWeiPerSecond) = (capacityWei_, refillWeiPerSecond_);
        (signer, guardian) = (signer_, guardian_);
        emit LimitsSet(capacityWei_, refillWeiPerSecond_);
        emit SignerSet(address(0), signer_);
        emit GuardianSet(address(0), guardian_);
    }

    /// @notice Settles the rewards numbered firstId … firstId + count − 1.
    /// @param firstId must be `nextId`
    /// @param rewardIds 16 bytes per reward, in the order of their numbers; their length gives `count`
    /// @param leavesRoot the Merkle root over the rewards' leaves
    /// @param packed one word per recipient, at least one and at most `count`. A word is the account in bits
    /// 255…96 and the wei, never 0, in bits 95…0. Rewards of one account are merged into one word; a reward
    /// that refunds have used up entirely adds nothing to any word, and its leaf alone tells of it.
    function settle(uint64 firstId, bytes calldata rewardIds, bytes32 leavesRoot, bytes32[] calldata packed)
        external
    {
        require(msg.sender == signer, NotSigner(msg.sender));
        Bucket memory current = _bucket;
        require(block.timestamp >= current.pausedUntil, MinterPaused(current.pausedUntil));
        // Nothing but the very next number will do: that is what makes a settlement happen once.
        // slither-disable-next-line incorrect-equality
        require(firstId == current.nextId, WrongFirstId(firstId, current.nextId));
        uint256 count = rewardIds.length / REWARD_ID_BYTES;
        require(
            count * REWARD_ID_BYTES == rewardIds.length && count <= type(uint32).max,
            BadRewardIds(rewardIds.length)
        );
        require(packed.length != 0 && packed.length <= count, BadWordCount(packed.length, count));

        uint256 sum = 0;
        unchecked {
            // 2^96 per word: no calldata is long enough to overflow.
            uint256 i = packed.length;
            do {
                sum += uint96(uint256(packed[--i]));
            } while (i != 0);
        }
        uint256 available = _refilled(current);
        require(sum <= available, RateLimited(sum, available));
        // The casts are safe: available ≤ capacity < 2^96, and count < 2^32 numbers in 2^64 never run out.
        _bucket = Bucket(
            uint96(available - sum), uint48(block.timestamp), current.pausedUntil, firstId + uint64(count)
        );
        emit Settled(firstId, uint32(count), sum, leavesRoot);
        _pay(packed, sum);
    }

    /// @notice Stops paying until the second `until`, at most 14 days ahead. A running pause can only be made longer.
    function pause(uint48 until) external {
        require(msg.sender == guardian, NotGuardian(msg.sender));
        require(
            until > block.timestamp && until > _bucket.pausedUntil
                && until <= block.timestamp + MAX_PAUSE_SECONDS,
            BadPause(until)
        );
        _bucket.pausedUntil = until;
        emit Paused(until);
    }

    /// @notice Ends a pause before it lapses.
    function unpause() external onlyTimelock {
        _bucket.pausedUntil = 0;
        emit Unpaused();
    }

    /// @notice Changes the bucket. What has flowed in so far is kept, up to the new capacity.
    function setLimits(uint96 capacityWei_, uint96 refillWeiPerSecond_) external onlyTimelock {
        Bucket memory current = _bucket;
        uint256 available = _refilled(current);
        if (available > capacityWei_) available = capacityWei_;
        (current.available, current.last) = (uint96(available), uint48(block.timestamp));
        _bucket = current;
        (capacityWei, refillWeiPerSecond) = (capacityWei_, refillWeiPerSecond_);
        emit LimitsSet(capacityWei_, refillWeiPerSecond_);
    }

    /// @notice Replaces the only account that may settle. Zero stops paying until the next change.
    function setSigner(address next) external onlyTimelock {
        emit SignerSet(signer, next);
        signer = next;
    }

    /// @notice Replaces the only account that may pause.
    function setGuardian(address next) external onlyTimelock {
        emit GuardianSet(guardian, next);
        guardian = next;
    }

    /// @notice The number of the next reward: every lower number has been settled.
    function nextId() external view returns (uint64) {
        return _bucket.nextId;
    }

    /// @notice The second until which nothing is paid; in the past when not paused.
    function pausedUntil() external view returns (uint48) {
        return _bucket.pausedUntil;
    }

    /// @notice The state slot as stored.
    function bucket()
        external
        view
        returns (uint96 available, uint48 last, uint48 pausedUntil_, uint64 nextId_)
    {
        Bucket memory current = _bucket;
        return (current.available, current.last, current.pausedUntil, current.nextId);
    }

    /// @notice Wei that could be paid now.
    function availableWei() external view returns (uint256) {
        return _refilled(_bucket);
    }

    /// @dev Pays each word's low 96 bits, in wei, to the account in its high 160 bits, or reverts whole.
    /// Called last, with every state change of `settle` made.
    /// @param sum of the words' wei
    function _pay(bytes32[] calldata packed, uint256 sum) internal virtual;

    function _refilled(Bucket memory current) private view returns (uint256) {
        uint256 available = current.available + (block.timestamp - current.last) * uint256(refillWeiPerSecond);
        uint256 capacity = capacityWei;
        return available < capacity ? available : capacity;
    }
}
