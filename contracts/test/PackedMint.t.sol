// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BTRST} from "../src/BTRST.sol";
import {vm} from "./Vm.sol";

/// @dev The same token with the plain way: OpenZeppelin's mint, for each word.
contract PlainMint is BTRST {
    constructor(address admin, address minter, address treasury_)
        BTRST(admin, minter, treasury_, new Allocation[](0))
    {}

    function mintPlainly(bytes32[] calldata packed) external {
        for (uint256 i = 0; i < packed.length; ++i) {
            _mint(address(uint160(uint256(packed[i]) >> 96)), uint96(uint256(packed[i])));
        }
    }
}

/// @dev `mintPacked` does for all words at once what can be, and must come to the very state that OpenZeppelin's own functions leave.
contract PackedMintTest {
    uint256 private constant PEOPLE = 4;

    PlainMint private packed;
    PlainMint private plain;

    function setUp() public {
        vm.warp(1_800_000_000);
        packed = new PlainMint(address(0xAD), address(this), address(0x7E));
        plain = new PlainMint(address(0xAD), address(this), address(0x7E));
    }

    /// @dev The minter is one of them, and may have delegated its own votes.
    function person(uint256 seed) private view returns (address) {
        return seed % PEOPLE == 0 ? address(this) : address(uint160(0xACC0 + seed % PEOPLE));
    }

    function delegateBoth(uint256 from, uint256 to) private {
        address delegatee = to % 3 == 0 ? address(0) : person(to);
        vm.prank(person(from));
        packed.delegate(delegatee);
        vm.prank(person(from));
        plain.delegate(delegatee);
    }

    function assertSame() private view {
        vm.assertEq(packed.totalSupply(), plain.totalSupply());
        for (uint256 i = 0; i < PEOPLE; ++i) {
            address account = person(i);
            vm.assertEq(packed.balanceOf(account), plain.balanceOf(account), "balance");
            vm.assertEq(packed.getVotes(account), plain.getVotes(account), "votes");
            uint32 count = plain.numCheckpoints(account);
            vm.assertEq(packed.numCheckpoints(account), count, "checkpoints");
            for (uint32 k = 0; k < count; ++k) {
                vm.assertEq(packed.checkpoints(account, k)._value, plain.checkpoints(account, k)._value);
                vm.assertEq(packed.checkpoints(account, k)._key, plain.checkpoints(account, k)._key);
            }
        }
    }

    function testFuzz_leaves_the_state_that_single_mints_leave(
        uint256[3] calldata delegations,
        uint96[5] calldata amounts,
        uint256 seed,
        bool sameSecond
    ) public {
        seed %= 1 << 128;
        for (uint256 round = 0; round < 3; ++round) {
            delegateBoth(delegations[round] % PEOPLE, delegations[round] >> 128);
            bytes32[] memory words = new bytes32[](5);
            for (uint256 i = 0; i < 5; ++i) {
                uint256 amount = 1 + amounts[i] % 5_000_000e18;
                words[i] = bytes32((uint256(uint160(person(seed / (i + 1) + round))) << 96) | amount);
            }
            uint256 before = packed.totalSupply();
            plain.mintPlainly(words);
            vm.assertEq(packed.mintPacked(words), packed.totalSupply() - before);
            assertSame();
            if (!sameSecond) vm.warp(block.timestamp + 7);
        }
        vm.assertEq(
            packed.getPastTotalSupply(block.timestamp - 1), plain.getPastTotalSupply(block.timestamp - 1)
        );
    }

    /// @dev The minter cannot lose what a lock holds back: nothing it mints for others passes through its account.
    function test_a_locked_minter_keeps_what_is_locked() public {
        bytes32[] memory words = new bytes32[](1);
        words[0] = bytes32((uint256(uint160(address(this))) << 96) | 10);
        packed.mintPacked(words);
        vm.prank(address(0xAD));
        packed.appointLocker(address(this));
        packed.lock(address(this), 10);
        words[0] = bytes32((uint256(uint160(address(0xB))) << 96) | 4);
        packed.mintPacked(words);
        vm.assertEq(packed.balanceOf(address(this)), 10);
        vm.assertEq(packed.balanceOf(address(0xB)), 4);
    }
}
