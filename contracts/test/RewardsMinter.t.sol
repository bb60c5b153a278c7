// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BTRST} from "../src/BTRST.sol";
import {IPackedMint} from "../src/IPackedMint.sol";
import {RewardsMinter} from "../src/RewardsMinter.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {SettlementTest} from "./Settlement.sol";
import {vm} from "./Vm.sol";

contract RewardsMinterTest is SettlementTest {
    function setUp() public override {
        super.setUp();
        (target, money) = (minter, token);
    }

    function emptyWord() internal pure override returns (bytes4) {
        return BTRST.BTRSTEmptyWord.selector;
    }

    function test_pays_with_new_tokens() public {
        uint256 before = token.totalSupply();
        settleNext(ALICE, 7e18, 2);
        vm.assertEq(token.totalSupply(), before + 7e18);
        vm.assertEq(token.balanceOf(address(minter)), 0);
    }

    function test_is_not_born_without_token_or_timelock() public {
        vm.expectRevert(SettlementBase.ZeroAddress.selector);
        new RewardsMinter(IPackedMint(address(0)), address(timelock), signer, guardian, 1, 1);
        vm.expectRevert(SettlementBase.ZeroAddress.selector);
        new RewardsMinter(IPackedMint(address(token)), address(0), signer, guardian, 1, 1);
    }

    /// @dev A token that lies about what it minted is not believed.
    function test_a_token_that_mints_another_sum_is_refused() public {
        RewardsMinter cheated = new RewardsMinter(
            IPackedMint(address(new LyingToken())), address(timelock), signer, guardian, 9, 9
        );
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 1));
        cheated.settle(1, new bytes(16), ROOT, words(word(ALICE, 1)));
    }
}

contract LyingToken is IPackedMint {
    function mintPacked(bytes32[] calldata) external pure returns (uint256) {
        return 2;
    }
}
