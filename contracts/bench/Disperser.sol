// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title The shape of disperse.app: transfers only, to anybody who calls, with no memory of what was paid
/// @notice Exactly-once is the caller's problem, and so are limits.
contract Disperser {
    error Refused();

    /// @notice Moves each amount of the caller's tokens to its account.
    function disperse(IERC20 token, address[] calldata accounts, uint256[] calldata amounts) external {
        uint256 sum = 0;
        for (uint256 i = 0; i < amounts.length; ++i) {
            sum += amounts[i];
        }
        require(token.transferFrom(msg.sender, address(this), sum), Refused());
        for (uint256 i = 0; i < accounts.length; ++i) {
            require(token.transfer(accounts[i], amounts[i]), Refused());
        }
    }
}
