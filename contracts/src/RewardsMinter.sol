// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPackedMint} from "./IPackedMint.sol";
import {SettlementBase} from "./SettlementBase.sol";

/// @title Turns earned rewards into BTRST, each exactly once
/// @notice `settle`, its numbers, limits and pause are SettlementBase's; each payment is newly minted BTRST.
contract RewardsMinter is SettlementBase {
    /// @notice The token, which must have given this contract its MINTER_ROLE.
    IPackedMint public immutable token;

    constructor(
        IPackedMint token_,
        address timelock_,
        address signer_,
        address guardian_,
        uint96 capacityWei_,
        uint96 refillWeiPerSecond_
    ) SettlementBase(timelock_, signer_, guardian_, capacityWei_, refillWeiPerSecond_) {
        require(address(token_) != address(0), ZeroAddress());
        token = token_;
    }

    function _pay(bytes32[] calldata packed, uint256 sum) internal override {
        uint256 minted = token.mintPacked(packed);
        assert(minted == sum);
    }
}
