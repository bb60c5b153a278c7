// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BTRST} from "../src/BTRST.sol";
import {IPackedMint} from "../src/IPackedMint.sol";
import {RewardsMinter} from "../src/RewardsMinter.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {vm} from "./Vm.sol";

/// @dev Proofs over all inputs and all states, by symbolic execution (halmos runs what begins with `check_`).
/// Arrays have the lengths written here; everything else is arbitrary, the contracts' state slots included.
contract Proofs {
    uint256 private constant CAP = 250_000_000e18;
    uint96 private constant CAPACITY = 1_000_000e18;
    uint96 private constant REFILL = 1e18;
    bytes32 private constant SUPPLY_SLOT = bytes32(uint256(2));
    bytes32 private constant BUCKET_SLOT = 0;

    address private immutable signer = address(0x5161E12);
    BTRST private token;
    RewardsMinter private minter;

    /// @dev Addresses cannot be computed beforehand here, so the minter gets its role from an admin.
    function setUp() external {
        vm.warp(1_800_000_000);
        token = new BTRST(address(this), address(0xdead), address(0x7EA5), new BTRST.Allocation[](0));
        minter = new RewardsMinter(
            IPackedMint(address(token)), address(0x71ECC), signer, address(0x6A4D), CAPACITY, REFILL
        );
        token.revokeRole(token.MINTER_ROLE(), address(0xdead));
        token.grantRole(token.MINTER_ROLE(), address(minter));
    }

    /// @notice A settlement takes the next numbers and only these, so that no number is ever settled twice: whatever
    /// the minter's state, a call that succeeds began at `nextId` and moved it past all of its rewards, and then
    /// no call for a number below it succeeds.
    function check_aNumberIsSettledAtMostOnce(
        bytes32 bucket,
        uint64 first,
        uint64 again,
        bytes32 word1,
        bytes32 word2,
        bytes32 root
    ) external {
        vm.store(address(minter), BUCKET_SLOT, bucket);
        uint64 before = minter.nextId();
        // In 2^64 numbers there is room for a billion rewards a second for five centuries.
        if (before > type(uint64).max - 4) return;
        bytes32[] memory two = new bytes32[](2);
        (two[0], two[1]) = (word1, word2);
        vm.prank(signer);
        (bool isSettled,) =
            address(minter).call(abi.encodeCall(SettlementBase.settle, (first, new bytes(32), root, two)));
        uint64 next = minter.nextId();
        assert(next == (isSettled ? before + 2 : before));
        assert(!isSettled || first == before);
        if (again >= next) return;
        vm.prank(signer);
        (bool isSettledAgain,) =
            address(minter).call(abi.encodeCall(SettlementBase.settle, (again, new bytes(32), root, two)));
        assert(!isSettledAgain);
    }

    /// @notice Whatever was minted before, no settlement brings the supply above the cap, and one that is refused
    /// leaves it where it was.
    function check_theCapHolds(bytes32 bucket, uint256 supply, uint64 first, bytes32 word1, bytes32 word2) external {
        vm.store(address(minter), BUCKET_SLOT, bucket);
        if (supply > CAP) return;
        vm.store(address(token), SUPPLY_SLOT, bytes32(supply));
        assert(token.totalSupply() == supply);
        bytes32[] memory two = new bytes32[](2);
        (two[0], two[1]) = (word1, word2);
        vm.prank(signer);
        (bool isSettled,) =
            address(minter).call(abi.encodeCall(SettlementBase.settle, (first, new bytes(32), bytes32(0), two)));
        assert(token.totalSupply() <= CAP);
        uint256 minted = isSettled ? uint256(uint96(uint256(word1))) + uint96(uint256(word2)) : 0;
        assert(token.totalSupply() == supply + minted);
    }

    /// @notice Nobody but the minter mints, whoever calls and with whatever words.
    function check_onlyTheMinterMints(address caller, bytes32 word1) external {
        if (caller == address(minter)) return;
        uint256 supply = token.totalSupply();
        bytes32[] memory one = new bytes32[](1);
        one[0] = word1;
        vm.prank(caller);
        (bool isMinted,) = address(token).call(abi.encodeCall(BTRST.mintPacked, (one)));
        assert(!isMinted && token.totalSupply() == supply);
    }

    /// @notice Nobody but the signer settles.
    function check_onlyTheSignerSettles(address caller, bytes32 bucket, uint64 first, bytes32 word1) external {
        if (caller == signer) return;
        vm.store(address(minter), BUCKET_SLOT, bucket);
        bytes32[] memory one = new bytes32[](1);
        one[0] = word1;
        vm.prank(caller);
        (bool isSettled,) =
            address(minter).call(abi.encodeCall(SettlementBase.settle, (first, new bytes(16), bytes32(0), one)));
        assert(!isSettled);
    }

    /// @notice Settling never pays more than the bucket can hold, whatever time has passed.
    function check_theBucketBounds(bytes32 bucket, uint48 time, uint64 first, bytes32 word1) external {
        vm.store(address(minter), BUCKET_SLOT, bucket);
        vm.warp(time);
        bytes32[] memory one = new bytes32[](1);
        one[0] = word1;
        vm.prank(signer);
        (bool isSettled,) =
            address(minter).call(abi.encodeCall(SettlementBase.settle, (first, new bytes(16), bytes32(0), one)));
        assert(!isSettled || uint96(uint256(word1)) <= CAPACITY);
    }
}
