// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {BTRST} from "../src/BTRST.sol";
import {BTRSTGovernor} from "../src/Governor.sol";
import {IPackedMint} from "../src/IPackedMint.sol";
import {NetworkParameters} from "../src/NetworkParameters.sol";
import {RewardsMinter} from "../src/RewardsMinter.sol";
import {vm} from "./Vm.sol";

/// @dev The five contracts, deployed the way the network deploys them: the deployer holds no role.
abstract contract Fixture {
    uint96 internal constant CAPACITY = 1_000_000e18;
    uint96 internal constant REFILL = 1e18;
    uint64 internal constant NOTICE = 1 hours;
    uint48 internal constant VOTING_DELAY = 60;
    uint32 internal constant VOTING_PERIOD = 600;
    uint48 internal constant LATE_EXTENSION = 120;
    uint256 internal constant TIMELOCK_DELAY = 300;
    uint256 internal constant QUORUM_FLOOR = 100e18;
    uint256 internal constant THRESHOLD = 10e18;

    address internal immutable signer = vm.addr(0xA11CE);
    address internal immutable submitter = vm.addr(0xB0B);
    address internal immutable guardian = vm.addr(0xCAFE);

    BTRST internal token;
    RewardsMinter internal minter;
    NetworkParameters internal parameters;
    TimelockController internal timelock;
    BTRSTGovernor internal governor;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        uint256 nonce = vm.getNonce(address(this));
        address minterAt = vm.computeCreateAddress(address(this), nonce + 2);
        address governorAt = vm.computeCreateAddress(address(this), nonce + 4);
        address[] memory voters = new address[](1);
        voters[0] = governorAt;
        timelock = new TimelockController(TIMELOCK_DELAY, voters, voters, address(0));
        token = new BTRST(address(timelock), minterAt, address(timelock), allocations());
        minter = new RewardsMinter(
            IPackedMint(address(token)), address(timelock), signer, guardian, CAPACITY, REFILL
        );
        (bytes32[] memory names, uint256[] memory values) = genesis();
        parameters = new NetworkParameters(address(timelock), NOTICE, names, values);
        BTRSTGovernor.Settings memory settings =
            BTRSTGovernor.Settings(VOTING_DELAY, VOTING_PERIOD, LATE_EXTENSION, THRESHOLD, 4, QUORUM_FLOOR);
        governor = new BTRSTGovernor(token, timelock, submitter, settings, votableCalls());
        vm.assertEq(address(minter), minterAt);
        vm.assertEq(address(governor), governorAt);
    }

    function allocations() internal pure virtual returns (BTRST.Allocation[] memory) {
        return new BTRST.Allocation[](0);
    }

    function votableCalls() internal view returns (BTRSTGovernor.Call[] memory calls) {
        calls = new BTRSTGovernor.Call[](8);
        calls[0] = BTRSTGovernor.Call(address(parameters), NetworkParameters.setParameters.selector);
        calls[1] = BTRSTGovernor.Call(address(parameters), NetworkParameters.approveGrant.selector);
        calls[2] = BTRSTGovernor.Call(address(minter), minter.setLimits.selector);
        calls[3] = BTRSTGovernor.Call(address(minter), minter.unpause.selector);
        calls[4] = BTRSTGovernor.Call(address(minter), minter.setSigner.selector);
        calls[5] = BTRSTGovernor.Call(address(minter), minter.setGuardian.selector);
        calls[6] = BTRSTGovernor.Call(address(token), BTRST.appointLocker.selector);
        calls[7] = BTRSTGovernor.Call(address(0), BTRSTGovernor.setSubmitter.selector);
    }

    function genesis() internal pure returns (bytes32[] memory names, uint256[] memory values) {
        names = new bytes32[](8);
        values = new uint256[](8);
        (names[0], values[0]) = ("connector_reward_bps", 100);
        (names[1], values[1]) = ("client_fee_bps", 1_000);
        (names[2], values[2]) = ("reward_hold_seconds", 0);
        (names[3], values[3]) = ("referral_duration_seconds", 0);
        (names[4], values[4]) = ("screening_reward_wei", 10e18);
        (names[5], values[5]) = ("epoch_seconds", 30 days);
        (names[6], values[6]) = ("epoch_budget_wei", 3_000_000e18);
        (names[7], values[7]) = ("min_payout_wei", 0);
    }

    function word(address account, uint96 amount) internal pure returns (bytes32) {
        return bytes32((uint256(uint160(account)) << 96) | amount);
    }

    function words(bytes32 only) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](1);
        list[0] = only;
    }

    /// @dev Settles the next `count` rewards as one word.
    function settle(address account, uint96 amount, uint256 count) internal {
        uint64 next = minter.nextId();
        vm.prank(signer);
        minter.settle(next, new bytes(16 * count), keccak256("leaves"), words(word(account, amount)));
    }

    function appointLocker(address locker) internal {
        vm.prank(address(timelock));
        token.appointLocker(locker);
    }

    function clamp(uint256 value, uint256 lowest, uint256 highest) internal pure returns (uint256) {
        return lowest + value % (highest - lowest + 1);
    }
}
