// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SettlementBase} from "./SettlementBase.sol";

/// @title Pays earned rewards, each exactly once, from a reserve of a token that nobody can mint
/// @notice `settle`, its numbers, limits and pause are SettlementBase's. Whoever transfers the token here funds the
/// reserve; it leaves by `settle`, or by the timelock's `withdraw`, and by nothing else.
/// @dev Asks of the token no more than ERC-20 transfers (EIP-20), with or without a returned boolean. A token that
/// takes a fee of the sender beyond the amount, or moves less than the amount out of the reserve, is refused.
contract ReservePayer is SettlementBase {
    using SafeERC20 for IERC20;

    /// @notice The token of the reserve.
    IERC20 public immutable token;

    event Withdrawn(address indexed to, uint256 amount);

    error EmptyWord(uint256 index);
    error ReserveTooSmall(uint256 sum, uint256 reserve);
    error PaidOtherThanOwed(uint256 sum, uint256 reserveBefore, uint256 reserveAfter);

    constructor(
        IERC20 token_,
        address timelock_,
        address signer_,
        address guardian_,
        uint96 capacityWei_,
        uint96 refillWeiPerSecond_
    ) SettlementBase(timelock_, signer_, guardian_, capacityWei_, refillWeiPerSecond_) {
        require(address(token_) != address(0), ZeroAddress());
        token = token_;
    }

    /// @notice Moves `amount` wei of the reserve to `to`, also during a pause.
    function withdraw(address to, uint256 amount) external onlyTimelock {
        emit Withdrawn(to, amount);
        token.safeTransfer(to, amount);
    }

    /// @notice Wei that are left to pay from.
    function reserveWei() public view returns (uint256) {
        return token.balanceOf(address(this));
    }

    function _pay(bytes32[] calldata packed, uint256 sum) internal override {
        uint256 reserve = reserveWei();
        require(sum <= reserve, ReserveTooSmall(sum, reserve));
        for (uint256 i = 0; i < packed.length; ++i) {
            uint256 word = uint256(packed[i]);
            require(uint96(word) != 0, EmptyWord(i));
            token.safeTransfer(address(uint160(word >> 96)), uint96(word));
        }
        // Exactly the sum has to go: a word of the reserve's own pays nobody, a token with a fee takes more.
        uint256 left = reserveWei();
        // slither-disable-next-line incorrect-equality
        require(left == reserve - sum, PaidOtherThanOwed(sum, reserve, left));
    }
}
