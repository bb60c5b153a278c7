// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The numbers the network's members govern, and the grants they have voted
/// @notice A version is the whole set of parameters, never a single one. The services follow the events.
/// Names are short strings in bytes32. Rates are in basis points, times in seconds, amounts in wei.
contract NetworkParameters {
    /// @notice What Talent pays: nothing. It is a constant because no vote can change it.
    uint256 public constant TALENT_FEE_BPS = 0;
    /// @notice How many parameters a version has.
    uint256 public constant PARAMETER_COUNT = 8;
    /// @notice How far ahead a version may take effect.
    uint256 public constant MAX_NOTICE_SECONDS = 90 days;
    /// @notice The most one grant can be.
    uint256 public constant MAX_GRANT_WEI = 10_000_000e18;

    bytes32 private constant CONNECTOR_REWARD_BPS = "connector_reward_bps";
    bytes32 private constant CLIENT_FEE_BPS = "client_fee_bps";
    bytes32 private constant REWARD_HOLD_SECONDS = "reward_hold_seconds";
    bytes32 private constant REFERRAL_DURATION_SECONDS = "referral_duration_seconds";
    bytes32 private constant SCREENING_REWARD_WEI = "screening_reward_wei";
    bytes32 private constant EPOCH_SECONDS = "epoch_seconds";
    bytes32 private constant EPOCH_BUDGET_WEI = "epoch_budget_wei";
    bytes32 private constant MIN_PAYOUT_WEI = "min_payout_wei";

    /// @notice The only account that may change anything.
    address public immutable timelock;
    /// @notice The least time between a change and its effect.
    uint64 public immutable noticeSeconds;
    /// @notice The newest version, in effect or about to be. 0 is the genesis set.
    uint64 public latestVersion;

    mapping(uint64 version => uint64) private _effectiveFrom;
    mapping(uint64 version => mapping(bytes32 name => uint256)) private _values;
    /// @notice Whether a grant has been approved.
    mapping(bytes32 grantId => bool) public grantApproved;

    /// @param version rises by one
    /// @param names with `values`: the whole set
    /// @param effectiveFrom the second from which the version counts
    event ParametersSet(uint64 indexed version, bytes32[] names, uint256[] values, uint64 effectiveFrom);
    event GrantApproved(bytes32 indexed grantId, bytes32 indexed beneficiaryId, uint256 amountWei);

    error NotTimelock(address caller);
    error WrongVersion(uint64 expected, uint64 latest);
    error WrongLength(uint256 names, uint256 values);
    error UnknownName(bytes32 name);
    error RepeatedName(bytes32 name);
    error OutOfBounds(bytes32 name, uint256 value, uint256 lowest, uint256 highest);
    error RewardAboveQuarterOfFee(uint256 connectorRewardBps, uint256 clientFeeBps);
    error BadEffectiveFrom(uint256 given, uint256 earliest, uint256 latest);
    error UnknownVersion(uint64 version);
    error BadGrant(bytes32 grantId, uint256 amountWei);
    error GrantAlreadyApproved(bytes32 grantId);
    error ZeroAddress();

    modifier onlyTimelock() {
        require(msg.sender == timelock, NotTimelock(msg.sender));
        _;
    }

    /// @param names with `values`: version 0, in effect at once
    constructor(address timelock_, uint64 noticeSeconds_, bytes32[] memory names, uint256[] memory values) {
        require(timelock_ != address(0), ZeroAddress());
        require(
            noticeSeconds_ <= MAX_NOTICE_SECONDS,
            BadEffectiveFrom(
                block.timestamp + noticeSeconds_, block.timestamp, block.timestamp + MAX_NOTICE_SECONDS
            )
        );
        timelock = timelock_;
        noticeSeconds = noticeSeconds_;
        _store(0, names, values, uint64(block.timestamp));
    }

    /// @notice Makes the next version.
    /// @param expectedVersion must be `latestVersion`, so that of two changes voted side by side only one goes through
    /// @param names every parameter once, in any order; `values` in the same order
    /// @param effectiveFrom at least `noticeSeconds` ahead, and no earlier than the version before takes effect
    function setParameters(
        uint64 expectedVersion,
        bytes32[] calldata names,
        uint256[] calldata values,
        uint64 effectiveFrom
    ) external onlyTimelock {
        uint64 latest = latestVersion;
        require(expectedVersion == latest, WrongVersion(expectedVersion, latest));
        uint256 lowest = block.timestamp + noticeSeconds;
        if (lowest < _effectiveFrom[latest]) lowest = _effectiveFrom[latest];
        uint256 highest = block.timestamp + MAX_NOTICE_SECONDS;
        require(
            effectiveFrom >= lowest && effectiveFrom <= highest,
            BadEffectiveFrom(effectiveFrom, lowest, highest)
        );
        latestVersion = latest + 1;
        _store(latest + 1, names, values, effectiveFrom);
    }

    /// @notice Records that a grant was voted; the rewards service pays it as it pays every reward.
    /// @param grantId the grant's UUID in the high 16 bytes; a grant is approved once
    /// @param beneficiaryId the member's UUID in the high 16 bytes
    /// @param amountWei above 0, at most MAX_GRANT_WEI
    function approveGrant(bytes32 grantId, bytes32 beneficiaryId, uint256 amountWei) external onlyTimelock {
        require(
            grantId != 0 && beneficiaryId != 0 && amountWei != 0 && amountWei <= MAX_GRANT_WEI,
            BadGrant(grantId, amountWei)
        );
        require(!grantApproved[grantId], GrantAlreadyApproved(grantId));
        grantApproved[grantId] = true;
        emit GrantApproved(grantId, beneficiaryId, amountWei);
    }

    /// @notice The newest version that has taken effect.
    function currentVersion() public view returns (uint64 version) {
        version = latestVersion;
        while (version != 0 && _effectiveFrom[version] > block.timestamp) --version;
    }

    /// @notice The value of a parameter now.
    function valueOf(bytes32 name) external view returns (uint256) {
        return valueAt(currentVersion(), name);
    }

    /// @notice The value of a parameter in a version.
    function valueAt(uint64 version, bytes32 name) public view returns (uint256) {
        require(version <= latestVersion, UnknownVersion(version));
        _indexOf(name);
        return _values[version][name];
    }

    /// @notice A whole version and the second from which it counts.
    function parameters(uint64 version)
        external
        view
        returns (bytes32[] memory names, uint256[] memory values, uint64 effectiveFrom)
    {
        require(version <= latestVersion, UnknownVersion(version));
        names = parameterNames();
        values = new uint256[](PARAMETER_COUNT);
        for (uint256 i = 0; i < PARAMETER_COUNT; ++i) {
            values[i] = _values[version][names[i]];
        }
        effectiveFrom = _effectiveFrom[version];
    }

    /// @notice Every parameter's name.
    function parameterNames() public pure returns (bytes32[] memory names) {
        names = new bytes32[](PARAMETER_COUNT);
        names[0] = CONNECTOR_REWARD_BPS;
        names[1] = CLIENT_FEE_BPS;
        names[2] = REWARD_HOLD_SECONDS;
        names[3] = REFERRAL_DURATION_SECONDS;
        names[4] = SCREENING_REWARD_WEI;
        names[5] = EPOCH_SECONDS;
        names[6] = EPOCH_BUDGET_WEI;
        names[7] = MIN_PAYOUT_WEI;
    }

    /// @notice The lowest and highest value a parameter may ever have.
    function boundsOf(bytes32 name) public pure returns (uint256 lowest, uint256 highest) {
        if (name == CONNECTOR_REWARD_BPS || name == CLIENT_FEE_BPS) return (0, 10_000);
        if (name == REWARD_HOLD_SECONDS) return (0, 90 days);
        if (name == REFERRAL_DURATION_SECONDS) return (0, 36_500 days);
        if (name == SCREENING_REWARD_WEI || name == MIN_PAYOUT_WEI) return (0, 1_000e18);
        if (name == EPOCH_SECONDS) return (1 minutes, 366 days);
        if (name == EPOCH_BUDGET_WEI) return (0, 135_000_000e18);
        revert UnknownName(name);
    }

    function _indexOf(bytes32 name) private pure returns (uint256) {
        bytes32[] memory names = parameterNames();
        for (uint256 i = 0; i < PARAMETER_COUNT; ++i) {
            if (names[i] == name) return i;
        }
        revert UnknownName(name);
    }

    /// @dev Checks the set as a whole, then keeps and announces it.
    function _store(uint64 version, bytes32[] memory names, uint256[] memory values, uint64 effectiveFrom)
        private
    {
        require(
            names.length == PARAMETER_COUNT && values.length == PARAMETER_COUNT,
            WrongLength(names.length, values.length)
        );
        uint256 seen = 0;
        for (uint256 i = 0; i < PARAMETER_COUNT; ++i) {
            uint256 bit = 1 << _indexOf(names[i]);
            require(seen & bit == 0, RepeatedName(names[i]));
            seen |= bit;
            (uint256 lowest, uint256 highest) = boundsOf(names[i]);
            require(
                values[i] >= lowest && values[i] <= highest, OutOfBounds(names[i], values[i], lowest, highest)
            );
            _values[version][names[i]] = values[i];
        }
        uint256 rewardBps = _values[version][CONNECTOR_REWARD_BPS];
        uint256 feeBps = _values[version][CLIENT_FEE_BPS];
        require(rewardBps <= feeBps / 4, RewardAboveQuarterOfFee(rewardBps, feeBps));
        _effectiveFrom[version] = effectiveFrom;
        emit ParametersSet(version, names, values, effectiveFrom);
    }
}
