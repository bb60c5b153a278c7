// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token of the live BTRST's shape
/// @notice The whole supply is credited in the constructor. It has no mint, no permit, no votes and no owner.
contract FixedSupplyToken is ERC20 {
    constructor(address holder, uint256 supply) ERC20("Braintrust", "BTRST") {
        _mint(holder, supply);
    }
}
